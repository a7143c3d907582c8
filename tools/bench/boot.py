# SPDX-License-Identifier: Apache-2.0
"""
boot: Debian's stock cloud kernel to its userspace, by phase, in the lab.

The lab (tools/lab) is a Linux host with true KVM, emulated in software, because few machines that
build Husk can run an unmodified kernel: its times are long, its ratios hold. It is booted once;
contestants take turns in it (boot_inside.py), each with one vCPU, the same memory, and the same
kernel and initrd (tools/guest/micro). All files, and the monitors with their libraries, lie in the
lab's own memory. The guest writes to a port when its userspace runs, prints a line and reboots,
which ends the monitor.
"""
import json
import sys
from pathlib import Path
from typing import NamedTuple

import host
from lab import TOOLS, Lab, firmware, micro_files, output_of
from report import Figure, Report, Result

DESCRIPTION = "a stock Debian kernel to userspace in the lab: Husk and its peers, by phase"
DEFAULT_RUNS = 5
MEMORY = 256  # MiB; what husk run gives without being asked

HUSK, HUSK_PCI, KVMTOOL, FIRECRACKER = "Husk", "Husk, PCI", "kvmtool", "Firecracker"


class Architecture(NamedTuple):
    """What there is to boot on one."""
    arguments: str  # what Husk's board tells a kernel of itself
    reboot: str  # what QEMU and kvmtool are told of it
    machines: dict  # QEMU's -M, by the name of the contestant


ARCHITECTURES = {
    "x86_64": Architecture("console=ttyS0 8250.nr_uarts=1 pci=off", "reboot=t", {
        "QEMU microvm": "microvm",
        "QEMU microvm leanest": "microvm,rtc=on,pit=off,pic=off,x-option-roms=off",
    }),
    "aarch64": Architecture("console=ttyAMA0", "reboot=panic_warm", {
        "QEMU virt": "virt,gic-version=host",
        "QEMU virt leanest": "virt,gic-version=host,its=off,acpi=off,dtb-randomness=off",
    }),
}

FIGURES = {
    "userspace": Figure("userspace", "ms"),
    "start": Figure("start", "ms"),
    "first_exit": Figure("to 1st exit", "ms"),
    "kernel": Figure("kernel", "ms"),
    "end": Figure("end", "ms"),
    "userspace_exits": Figure("exits to monitor", ""),
    "exits": Figure("exits", ""),
}
PHASES = ["start", "first_exit", "kernel", "end"]


def ratios(architecture):
    figures = ("userspace", "userspace_exits", "exits")
    peers = (*ARCHITECTURES[architecture].machines, KVMTOOL, FIRECRACKER)
    return [(figure, HUSK, peer) for figure in figures for peer in peers] + [
        (figure, HUSK_PCI, HUSK) for figure in figures]


NOTES = [
    "Median (p10..p90). userspace: fork to userspace = start + to 1st exit + kernel. start: fork",
    "to the first guest instruction; to 1st exit: until the guest first needs the monitor (in Husk",
    "the kernel, in QEMU the firmware); kernel: until userspace; end: until the monitor is gone.",
    "Exits are counted from start to end; those to the monitor left the host's kernel as well.",
    f"QEMU's, kvmtool's and Firecracker's kernel arguments are Husk's defaults, {MEMORY} MiB.",
]


def kernel_arguments(own, reboot):
    """As Husk gives them to a guest on its serial console; how to reboot is each monitor's."""
    return f"{own} panic=-1 cryptomgr.notests quiet husk.do=hello {reboot}"


def add_arguments(parser):
    parser.add_argument("--arch", choices=ARCHITECTURES, default=host.ARCHITECTURE,
                        help="the architecture of lab and guest (default: this machine's)")
    parser.add_argument("--timeout", type=int, default=120, metavar="S",
                        help="seconds that one boot may take (default %(default)s)")
    parser.add_argument("--session", type=Path, metavar="DIR",
                        help="use the lab that runs in this session (default: boot one)")


# --- contestants: words in braces are files of the lab's own memory ---

def _husk(program, *options):
    return [program, "run", "{kernel}", "--initrd", "{initrd}", "--append", "husk.do=hello",
            *options]


def _qemu(program, machine, arguments):
    return [program, "-M", machine, "-accel", "kvm", "-cpu", "host", "-smp", "1", "-m",
            str(MEMORY), "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-L", "{firmware}", "-serial", "stdio", "-kernel", "{kernel}", "-initrd", "{initrd}",
            "-append", arguments]


def _kvmtool(program, arguments):
    return [program, "run", "--nodefaults", "--kernel", "{kernel}", "--initrd", "{initrd}",
            "--cpus", "1", "--mem", str(MEMORY), "--console", "serial", "--network", "mode=none",
            "--params", arguments]


def _firecracker(program):
    return [program, "--no-api", "--config-file", "{firecracker}"]


def _firecracker_config():
    arguments = kernel_arguments(ARCHITECTURES["x86_64"].arguments, "reboot=k")
    return json.dumps({
        "boot-source": {"kernel_image_path": "{vmlinux}", "initrd_path": "{initrd}",
                        "boot_args": arguments},
        "drives": [],
        "machine-config": {"vcpu_count": 1, "mem_size_mib": MEMORY},
    })


def make_contestants(husk, monitors, architecture):
    own, reboot, machines = ARCHITECTURES[architecture]
    arguments = kernel_arguments(own, reboot)
    contestants = [Result(HUSK, _husk(husk)), Result(HUSK_PCI, _husk(husk, "--bus", "pci"))]
    if monitors["QEMU"]:
        contestants += [
            Result(name, _qemu(monitors["QEMU"], machine, arguments))
            for name, machine in machines.items()]
    if monitors["kvmtool"]:
        contestants.append(Result(KVMTOOL, _kvmtool(monitors["kvmtool"], arguments)))
    if monitors["Firecracker"]:
        contestants.append(Result(FIRECRACKER, _firecracker(monitors["Firecracker"])))
    return contestants


def _files(contestants, architecture):
    files = micro_files(architecture)
    if any(contestant.name == FIRECRACKER for contestant in contestants):
        files["vmlinux"] = output_of(TOOLS / "guest/vmlinux", files["kernel"])
    return files


# --- the lab ---

def collect(lines, contestants, runs, progress):
    """What boot_inside.py says, as it says it: a line per boot and one about the lab's machine."""
    by_name = {contestant.name: contestant for contestant in contestants}
    machine = None
    for line in lines:
        said = json.loads(line)
        if "machine" in said:
            machine = said["machine"]
            continue
        contestant = by_name[said["name"]]
        if "failure" in said:
            contestant.failure = said["failure"]
        elif said["turn"] > 0:
            for figure, value in said["figures"].items():
                contestant.samples.setdefault(figure, []).append(value)
        progress(f"boot: run {said['turn']} of {runs}: {said['name']} "
                 f"{said.get('figures', {}).get('userspace', 0):.0f} ms")
    return machine


def measure(options, progress):
    """The report of a whole benchmark; SystemExit if the lab does not run it."""
    architecture = options.arch
    native = architecture == host.ARCHITECTURE
    monitors = host.find_monitors(architecture)
    contestants = make_contestants(str(options.husk), monitors, architecture)
    plan = {
        "runs": options.runs,
        "timeout": options.timeout,
        "files": _files(contestants, architecture),
        "firmware": firmware(monitors["QEMU"]) if native else [],
        "libraries": host.libraries(monitors, architecture),
        "texts": {"firecracker": _firecracker_config()},
        "contestants": {contestant.name: contestant.command for contestant in contestants},
    }
    progress("boot: starting the lab")
    with Lab(options.build, options.session, architecture) as lab:
        inside = lab.start(sys.executable if native else "python3",
                           str(Path(__file__).with_name("boot_inside.py")))
        with inside:
            inside.stdin.write(json.dumps(plan) + "\n")
            inside.stdin.close()
            machine = collect(inside.stdout, contestants, options.runs, progress)
    if inside.returncode != 0:
        raise SystemExit(f"bench: the lab's side ended with status {inside.returncode}")
    return Report(
        benchmark="boot", title="boot: a stock Debian kernel, fork to exit, in the lab",
        figures=FIGURES, results=contestants, ratios=ratios(architecture), bar=PHASES,
        runs=options.runs,
        versions=host.versions(options.husk, monitors, architecture), machine=machine,
        missing=[name for name in ("QEMU", "kvmtool", "Firecracker") if not monitors[name]],
        notes=NOTES)
