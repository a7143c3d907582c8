# SPDX-License-Identifier: Apache-2.0
"""
launch: from fork to the guest's first byte, on this machine's own KVM.

Every contestant gets the same guest (payload.S), one vCPU and as much memory; the stopwatch
(timer.c) starts it, waits for the byte and ends it. Contestants take turns, A B C A B C, so that
noise hits all alike. What else a monitor costs (memory, libraries, syscalls) is looked at while
the guest stands still after its byte.
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import host
import process
from report import Figure, Report, Result

DESCRIPTION = "fork to the guest's first byte: Husk, its peers, and a floor program"
DEFAULT_RUNS = 50
DEFAULT_MEMORY = 128            # MiB
OTHER_MEMORIES = (64, 16 * 1024)  # Husk's launch should not depend on it
LOOKS = 3                       # how often a standing guest's monitor is looked at

HUSK, HUSK_PCI = "Husk", "Husk, PCI"
FLOOR, FLOOR_NO_CPUID = "floor", "floor, no CPUID"
QEMU, KVMTOOL = "QEMU microvm leanest", "kvmtool"
FIRECRACKER, CLOUD_HYPERVISOR = "Firecracker", "Cloud Hypervisor"

FIGURES = {
    "launch": Figure("launch", "ms", 2),
    "peak_rss": Figure("peak RSS*", "KiB"),
    "pss": Figure("PSS*", "KiB"),
    "syscalls": Figure("syscalls", ""),
    "libraries": Figure("libraries", ""),
    "binary": Figure("stripped", "KiB"),
}

RATIOS = [
    ("launch", HUSK, FLOOR),
    ("launch", HUSK, QEMU),
    ("launch", HUSK, KVMTOOL),
    ("launch", HUSK, FIRECRACKER),
    ("launch", HUSK, CLOUD_HYPERVISOR),
    ("launch", FLOOR_NO_CPUID, FLOOR),
    ("launch", HUSK_PCI, HUSK),
    *(("launch", f"{HUSK}, {memory} MiB", HUSK) for memory in OTHER_MEMORIES),
    ("pss", HUSK, QEMU),
    ("pss", HUSK, KVMTOOL),
]

NOTES = [
    f"One vCPU, {DEFAULT_MEMORY} MiB unless named; median (p10..p90). Ratios are of runs that",
    "followed each other; \"quiet\" is p10 / p10. * outside guest memory; PSS is smaller while",
    "other programs use the same files. Syscalls until the byte, the dynamic loader's included;",
    "libraries without the loader. kvmtool enters its payload in real mode, for it knows no PVH.",
]


def add_arguments(parser):
    parser.add_argument("--no-looks", action="store_true",
                        help="measure time only, not memory, syscalls and sizes")


# --- contestants ---

def _husk(husk, payload, memory, *options):
    return [husk, "run", "--memory", f"{memory}M", *options, payload]


def _qemu(program, payload, memory):
    """
    A microvm without anything that can be left away. On kvm_pvm "host" offers
    ARCH_CAPABILITIES, which KVM then refuses.
    """
    off = ("acpi", "auto-kernel-cmdline", "graphics", "ioapic2", "mem-merge", "pcie", "pic", "pit",
           "rtc", "usb", "x-option-roms")
    return [program, "-M", "microvm," + ",".join(f"{name}=off" for name in off),
            "-accel", "kvm", "-cpu", "host,-arch-capabilities", "-smp", "1", "-m", str(memory),
            "-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio",
            "-kernel", payload]


def _kvmtool(program, flat_payload, memory):
    return [program, "run", "--nodefaults", "--kernel", flat_payload, "--cpus", "1",
            "--mem", str(memory), "--console", "serial", "--network", "mode=none"]


def _firecracker(program, payload, memory, folder):
    config = {
        "boot-source": {"kernel_image_path": payload, "boot_args": "console=ttyS0"},
        "drives": [],
        "machine-config": {"vcpu_count": 1, "mem_size_mib": memory},
    }
    path = Path(folder, "firecracker.json")
    path.write_text(json.dumps(config), encoding="utf-8")
    return [program, "--no-api", "--config-file", str(path)]


def _cloud_hypervisor(program, payload, memory):
    return [program, "--kernel", payload, "--cpus", "boot=1", "--memory", f"size={memory}M",
            "--console", "off", "--serial", "tty"]


def make_contestants(tools, husk, monitors, folder):
    payload, flat = str(tools / "payload.elf"), str(tools / "payload.flat")
    floor, memory = str(tools / "floor"), DEFAULT_MEMORY
    contestants = [
        Result(FLOOR_NO_CPUID, [floor, "--no-cpuid", str(memory), payload]),
        Result(FLOOR, [floor, str(memory), payload]),
        Result(HUSK, _husk(husk, payload, memory)),
        Result(HUSK_PCI, _husk(husk, payload, memory, "--bus", "pci")),
        *(Result(f"{HUSK}, {other} MiB", _husk(husk, payload, other))
          for other in OTHER_MEMORIES),
    ]
    if monitors["QEMU"]:
        contestants.append(Result(QEMU, _qemu(monitors["QEMU"], payload, memory)))
    if monitors["kvmtool"]:
        contestants.append(Result(KVMTOOL, _kvmtool(monitors["kvmtool"], flat, memory)))
    if monitors["Firecracker"]:
        contestants.append(
            Result(FIRECRACKER, _firecracker(monitors["Firecracker"], payload, memory, folder)))
    if monitors["Cloud Hypervisor"]:
        contestants.append(Result(
            CLOUD_HYPERVISOR, _cloud_hypervisor(monitors["Cloud Hypervisor"], payload, memory)))
    return contestants


# --- measuring ---


def _time_once(timer, contestant):
    """Milliseconds; None, and the contestant is out, if its guest does not speak."""
    done = subprocess.run([timer, *contestant.command], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return int(done.stdout) / 1e6
    said = done.stderr.strip().splitlines()
    contestant.failure = said[0] if said else f"the stopwatch ended with {done.returncode}"
    return None


def _time_all(timer, contestants, runs, progress):
    """One run of each is not counted: it brings programs and files into memory."""
    for turn in range(runs + 1):
        progress(f"launch: run {turn} of {runs}")
        for contestant in contestants:
            if contestant.failure:
                continue
            took = _time_once(timer, contestant)
            if turn > 0:
                contestant.samples.setdefault("launch", []).append(took)


def _look_at_process(timer, contestant):
    with subprocess.Popen([timer, "--hold", *contestant.command], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as standing:
        answer = standing.stdout.readline().split()
        if not answer:
            return
        pid = int(answer[1])
        peak, pss = process.memory(pid, DEFAULT_MEMORY << 20)
        libraries = process.libraries(pid)
        standing.stdin.close()
    for figure, value in (("peak_rss", peak), ("pss", pss), ("libraries", libraries)):
        contestant.samples.setdefault(figure, []).append(value)


def _stripped_size_kib(program, folder):
    """None for a program that is none, such as a script that starts one."""
    copy = Path(folder, "stripped")
    done = subprocess.run(["strip", "-o", copy, program], stderr=subprocess.DEVNULL, check=False)
    return copy.stat().st_size / 1024 if done.returncode == 0 else None


def _look_at_all(timer, contestants, folder, progress):
    tools = {name: shutil.which(name) for name in ("strace", "strip")}
    for name, path in tools.items():
        if not path:
            print(f"bench: {name} is not installed; what it would tell is left out",
                  file=sys.stderr)
    for contestant in contestants:
        if contestant.failure:
            continue
        progress(f"launch: looking at {contestant.name}")
        for _ in range(LOOKS):
            _look_at_process(timer, contestant)
        if tools["strace"]:
            contestant.samples["syscalls"] = [
                process.count_syscalls(timer, contestant.command) for _ in range(LOOKS)]
        if tools["strip"]:
            contestant.samples["binary"] = [_stripped_size_kib(contestant.command[0], folder)]


def measure(options, progress):
    """The report of a whole benchmark; SystemExit if this machine cannot run it."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        raise SystemExit("bench: launch needs a /dev/kvm that this user may open; "
                         "'husk doctor' says what is wrong")
    tools = options.build / "tools/bench"
    timer = str(tools / "timer")
    monitors = host.find_monitors()
    machine = host.machine()
    with tempfile.TemporaryDirectory(prefix="husk-bench-") as folder:
        contestants = make_contestants(tools, str(options.husk), monitors, folder)
        _time_all(timer, contestants, options.runs, progress)
        if not options.no_looks:
            standard = [contestant for contestant in contestants
                        if not contestant.name.startswith(f"{HUSK}, ")]
            _look_at_all(timer, standard, folder, progress)
    return Report(
        benchmark="launch", title="launch: fork to the guest's first byte", figures=FIGURES,
        results=contestants, ratios=RATIOS, bar=["launch"], runs=options.runs,
        versions=host.versions(options.husk, monitors), machine=machine,
        missing=[name for name, program in monitors.items() if not program], notes=NOTES)
