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

import host
from lab import TOOLS, Lab, firmware, micro_files, output_of
from report import Figure, Report, Result

DESCRIPTION = "a stock Debian kernel to userspace in the lab: Husk and its peers, by phase"
DEFAULT_RUNS = 5
MEMORY = 256  # MiB; what husk run gives without being asked

HUSK, HUSK_PCI, KVMTOOL, FIRECRACKER = "Husk", "Husk, PCI", "kvmtool", "Firecracker"
QEMU_DEFAULT, QEMU_LEANEST = "QEMU microvm", "QEMU microvm leanest"

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

RATIOS = [(figure, HUSK, peer)
          for figure in ("userspace", "userspace_exits", "exits")
          for peer in (QEMU_DEFAULT, QEMU_LEANEST, KVMTOOL, FIRECRACKER)]
RATIOS += [(figure, HUSK_PCI, HUSK) for figure in ("userspace", "userspace_exits", "exits")]

NOTES = [
    "Median (p10..p90). userspace: fork to userspace = start + to 1st exit + kernel. start: fork",
    "to the first guest instruction; to 1st exit: until the guest first needs the monitor (in Husk",
    "the kernel, in QEMU the firmware); kernel: until userspace; end: until the monitor is gone.",
    "Exits are counted from start to end; those to the monitor left the host's kernel as well.",
    f"QEMU's, kvmtool's and Firecracker's kernel arguments are Husk's defaults, {MEMORY} MiB.",
]

# As board_x86_64.c gives them to a guest on its serial console; how to reboot is each monitor's.
ARGUMENTS = ("console=ttyS0 8250.nr_uarts=1 panic=-1 pci=off cryptomgr.notests quiet "
             "husk.do=hello reboot=")


def add_arguments(parser):
    parser.add_argument("--timeout", type=int, default=120, metavar="S",
                        help="seconds that one boot may take (default %(default)s)")
    parser.add_argument("--session", type=Path, metavar="DIR",
                        help="use the lab that runs in this session (default: boot one)")


# --- contestants: words in braces are files of the lab's own memory ---

def _husk(program, *options):
    return [program, "run", "{kernel}", "--initrd", "{initrd}", "--append", "husk.do=hello",
            *options]


def _qemu(program, machine):
    return [program, "-M", machine, "-accel", "kvm", "-cpu", "host", "-smp", "1", "-m",
            str(MEMORY), "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-L", "{firmware}", "-serial", "stdio", "-kernel", "{kernel}", "-initrd", "{initrd}",
            "-append", ARGUMENTS + "t"]


def _kvmtool(program):
    return [program, "run", "--nodefaults", "--kernel", "{kernel}", "--initrd", "{initrd}",
            "--cpus", "1", "--mem", str(MEMORY), "--console", "serial", "--network", "mode=none",
            "--params", ARGUMENTS + "t"]


def _firecracker(program):
    return [program, "--no-api", "--config-file", "{firecracker}"]


def _firecracker_config():
    return json.dumps({
        "boot-source": {"kernel_image_path": "{vmlinux}", "initrd_path": "{initrd}",
                        "boot_args": ARGUMENTS + "k"},
        "drives": [],
        "machine-config": {"vcpu_count": 1, "mem_size_mib": MEMORY},
    })


def make_contestants(husk, monitors):
    contestants = [Result(HUSK, _husk(husk)), Result(HUSK_PCI, _husk(husk, "--bus", "pci"))]
    if monitors["QEMU"]:
        contestants += [
            Result(QEMU_DEFAULT, _qemu(monitors["QEMU"], "microvm")),
            Result(QEMU_LEANEST, _qemu(
                monitors["QEMU"], "microvm,rtc=on,pit=off,pic=off,x-option-roms=off")),
        ]
    if monitors["kvmtool"]:
        contestants.append(Result(KVMTOOL, _kvmtool(monitors["kvmtool"])))
    if monitors["Firecracker"]:
        contestants.append(Result(FIRECRACKER, _firecracker(monitors["Firecracker"])))
    return contestants


def _files(contestants):
    files = micro_files()
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
    monitors = host.find_monitors()
    contestants = make_contestants(str(options.husk), monitors)
    plan = {
        "runs": options.runs,
        "timeout": options.timeout,
        "files": _files(contestants),
        "firmware": firmware(monitors["QEMU"]),
        "texts": {"firecracker": _firecracker_config()},
        "contestants": {contestant.name: contestant.command for contestant in contestants},
    }
    progress("boot: starting the lab")
    with Lab(options.build, options.session) as lab:
        inside = lab.start(sys.executable, str(Path(__file__).with_name("boot_inside.py")))
        with inside:
            inside.stdin.write(json.dumps(plan) + "\n")
            inside.stdin.close()
            machine = collect(inside.stdout, contestants, options.runs, progress)
    if inside.returncode != 0:
        raise SystemExit(f"bench: the lab's side ended with status {inside.returncode}")
    return Report(
        benchmark="boot", title="boot: a stock Debian kernel, fork to exit, in the lab",
        figures=FIGURES, results=contestants, ratios=RATIOS, bar=PHASES, runs=options.runs,
        versions=host.versions(options.husk, monitors), machine=machine,
        missing=[name for name in ("QEMU", "kvmtool", "Firecracker") if not monitors[name]],
        notes=NOTES)
