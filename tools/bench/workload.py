# SPDX-License-Identifier: Apache-2.0
"""
A program under load in a guest in the lab: what the fio and iperf benchmarks share.

The guest is tools/guest/micro with Debian's stock cloud kernel, and the program, with its
libraries, comes from this machine's Debian package. workload_inside.py is the lab's side.
"""
import base64
import json
import subprocess
import sys
from pathlib import Path

import guests
import host
from lab import Lab, firmware, micro_files
from report import Report

MEMORY = 512  # MiB
HUSK = "Husk"

_RUN = "husk.do=script:" + base64.b64encode(b". /workload").decode()
_ARGUMENTS = f"console=ttyS0 8250.nr_uarts=1 panic=-1 cryptomgr.notests quiet reboot=t {_RUN}"


def add_arguments(parser):
    parser.add_argument("--timeout", type=int, default=300, metavar="S",
                        help="seconds that one guest may take (default %(default)s)")
    parser.add_argument("--session", type=Path, metavar="DIR",
                        help="use the lab that runs in this session (default: boot one)")


# --- contestants: words in braces are files of the lab's own memory ---

def husk(program, *options, words=""):
    return [str(program), "run", "{kernel}", "--initrd", "{initrd}", "--memory", f"{MEMORY}M",
            "--append", f"{_RUN} {words}".strip(), *options]


def qemu(program, machine, *options, words=""):
    return [program, "-M", machine, "-accel", "kvm", "-cpu", "host", "-smp", "1",
            "-m", str(MEMORY), "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-L", "{firmware}", "-serial", "stdio", "-kernel", "{kernel}", "-initrd", "{initrd}",
            "-append", f"{_ARGUMENTS} {words}".strip(), *options]


QEMU_MICROVM = "microvm,rtc=on,pit=off,pic=off,x-option-roms=off"
# And not q35, in which init's write to the timing port faults in the lab, though ioperm() allows it:
# emulated processors want a task register that is not busy, and KVM's is when it was set anew.
QEMU_PCI = f"{QEMU_MICROVM},pcie=on"


# --- measuring ---

def collect(lines, contestants, name, progress):
    """What workload_inside.py says, as it says it: a line per run, one about the lab's machine."""
    by_name = {contestant.name: contestant for contestant in contestants}
    machine = None
    for line in lines:
        said = json.loads(line)
        if "machine" in said:
            machine = said["machine"]
            continue
        progress(f"{name}: run {said['turn']}: {said['name']}")
        contestant = by_name[said["name"]]
        if "failure" in said:
            contestant.failure = said["failure"]
        for figure, value in said.get("figures", {}).items():
            contestant.samples.setdefault(figure, []).append(value)
    return machine


def measure(options, progress, module, contestants, ratios_of, **report):
    """The report of a whole benchmark, `module` having what it is about; see fio.py."""
    name = module.__name__
    monitors = {"QEMU": host.find_monitors()["QEMU"]}
    plan = {
        "benchmark": name,
        "runs": options.runs,
        "timeout": options.timeout,
        "files": micro_files(),
        "firmware": firmware(monitors["QEMU"]),
        "texts": {},
        "libraries": [],
        "contestants": {contestant.name: contestant.command for contestant in contestants},
    }
    progress(f"{name}: starting the lab")
    with Lab(options.build, options.session) as lab:
        inside = lab.start(sys.executable, str(Path(__file__).with_name("workload_inside.py")))
        with inside:
            inside.stdin.write(json.dumps(plan) + "\n")
            inside.stdin.close()
            machine = collect(inside.stdout, contestants, name, progress)
    if inside.returncode != 0:
        raise SystemExit(f"bench: the lab's side ended with status {inside.returncode}")
    return Report(
        benchmark=name, results=contestants, runs=options.runs, machine=machine,
        ratios=ratios_of(contestants), versions=host.versions(options.husk, monitors),
        missing=[peer for peer, program in monitors.items() if not program], by_figure=True,
        **report)


def best_ratios(figures):
    """Each Husk beside the best QEMU of each figure."""
    return lambda results: guests.ratios_of(results, figures, HUSK, "QEMU")


def need(program):
    if subprocess.run(["which", program], stdout=subprocess.DEVNULL, check=False).returncode:
        raise SystemExit(f"bench: {program} is not installed; tools/packages install bench")
