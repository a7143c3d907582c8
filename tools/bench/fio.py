# SPDX-License-Identifier: Apache-2.0
"""
fio: a stock Debian kernel's disk in the lab, loaded by fio, Husk beside QEMU.

Contestants take turns in one lab; each boots Debian's kernel with one vCPU and runs the same jobs
on a disk whose image lies in the lab's memory: O_DIRECT in the guest, libaio, two seconds each.
QEMU has an iothread and io_uring. The lab is emulated: its times are long, its ratios hold.
"""
import subprocess
import sys

import guests
import host
import workload
from report import Figure, Result

DESCRIPTION = "a Debian guest's disk by fio, in the lab: Husk and QEMU with iothread and io_uring"
DEFAULT_RUNS = 3
PROGRAM = "fio"
IMAGE_MIB = 256

# name -> (fio's rw=, bs=, iodepth=)
JOBS = {
    "randread-1": ("randread", "4k", 1),
    "randread-32": ("randread", "4k", 32),
    "randwrite-32": ("randwrite", "4k", 32),
    "read-128k": ("read", "128k", 32),
    "write-128k": ("write", "128k", 32),
}

SCRIPT = "\n".join([
    "fio --minimal --thread --filename=/dev/vda --direct=1 --ioengine=libaio --time_based \\",
    f"  --runtime=2 --ramp_time=1 --size={IMAGE_MIB}m --randrepeat=0 \\",
    *(f"  --name={name} --stonewall --rw={rw} --bs={bs} --iodepth={depth} \\"
      for name, (rw, bs, depth) in JOBS.items()),
    "  --output=/tmp/fio < /dev/null", "cat /tmp/fio", "reboot -f", ""])

FIGURES = {
    "randread-1": Figure("random read 4K x1", "kIOPS", 2),
    "randread-1/us": Figure("random read 4K x1", "us", 0),
    "randread-32": Figure("random read 4K x32", "kIOPS", 2),
    "randwrite-32": Figure("random write 4K x32", "kIOPS", 2),
    "read-128k": Figure("sequential read 128K x32", "MiB/s"),
    "write-128k": Figure("sequential write 128K x32", "MiB/s"),
}

NOTES = [
    "Median (p10..p90). One vCPU. The image lies in the lab's memory; all have writeback caching.",
]

# Fields of fio's terse output, version 3.
READ_BANDWIDTH, READ_IOPS, READ_LATENCY = 6, 7, 39
WRITE_BANDWIDTH, WRITE_IOPS = 47, 48

add_arguments = workload.add_arguments


def values_of(output):
    """The figures in what a guest has said."""
    figures = {}
    for line in output.splitlines():
        fields = line.split(";")
        if len(fields) <= WRITE_IOPS or fields[0] != "3" or fields[2] not in JOBS:
            continue
        name = fields[2]
        writes, large = "write" in name, name.endswith("128k")
        if large:
            bandwidth = fields[WRITE_BANDWIDTH if writes else READ_BANDWIDTH]
            figures[name] = float(bandwidth) / 1024
        else:
            figures[name] = float(fields[WRITE_IOPS if writes else READ_IOPS]) / 1e3
        if name + "/us" in FIGURES:
            figures[name + "/us"] = float(fields[READ_LATENCY])
    return figures


def prepare(folder):
    """The disk's image, in the lab's memory, all of it there."""
    image = folder / "disk.img"
    with open(image, "wb") as disk:
        for _ in range(IMAGE_MIB):
            disk.write(bytes(1 << 20))
    return {"disk": str(image)}


def finish():
    """Nothing outlives the folder."""


def make_contestants(husk, monitors, with_pci):
    contestants = [Result("Husk", workload.husk(husk, "--disk", "{disk}"))]
    if with_pci:
        contestants.append(
            Result("Husk, PCI", workload.husk(husk, "--bus", "pci", "--disk", "{disk}")))
    for name, machine, device in (
            ("QEMU", workload.QEMU_MICROVM, "virtio-blk-device"),
            ("QEMU, PCI", workload.QEMU_PCI, "virtio-blk-pci,disable-legacy=on")):
        if monitors["QEMU"]:
            contestants.append(Result(name, workload.qemu(
                monitors["QEMU"], machine, "-object", "iothread,id=io", "-blockdev",
                "driver=file,node-name=d,filename={disk},aio=io_uring,cache.direct=off",
                "-device", f"{device},drive=d,iothread=io,num-queues=1")))
    return contestants


def measure(options, progress):
    """The report of a whole benchmark; SystemExit if the lab does not run it."""
    workload.need(PROGRAM)
    contestants = make_contestants(options.husk, host.find_monitors(),
                                   guests.husk_has(options.husk, "--bus"))
    return workload.measure(
        options, progress, sys.modules[__name__], contestants, workload.best_ratios(FIGURES),
        title="fio: a disk of a stock Debian kernel, in the lab", figures=FIGURES,
        bar=["randread-32"], notes=[*NOTES, f"fio is {_version()}."])


def _version():
    return subprocess.run([PROGRAM, "--version"], capture_output=True, text=True,
                          check=False).stdout.strip()
