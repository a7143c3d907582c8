# SPDX-License-Identifier: Apache-2.0
"""What a figure depends on besides the program: the machine, its KVM, and programs' versions."""
import datetime
import os
import platform
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
ARCHITECTURE = platform.machine()

# The monitors that benchmarks know how to run, by the names that their programs go by.
MONITORS = {
    "QEMU": ["qemu-system-x86_64"],
    "kvmtool": ["lkvm", "vm", "kvmtool"],
    "Firecracker": ["firecracker"],
    "Cloud Hypervisor": ["cloud-hypervisor"],
}


def find_monitors(architecture=ARCHITECTURE):
    """
    The path of each monitor's program on PATH, None for those that are not there; for a foreign
    architecture QEMU as Debian has it, which tools/bench/peer unpacks.
    """
    def find(names):
        return next(filter(None, map(shutil.which, names)), None)

    if architecture == ARCHITECTURE:
        return {monitor: find(names) for monitor, names in MONITORS.items()}
    root = subprocess.run([HERE / "peer", architecture], stdout=subprocess.PIPE, text=True,
                          check=True).stdout.strip()
    return {**dict.fromkeys(MONITORS), "QEMU": f"{root}/usr/bin/qemu-system-{architecture}"}


def version(program, argument="--version", emulator=()):
    """The first line that a program says about its version."""
    try:
        done = subprocess.run([*emulator, program, argument], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"unknown ({error})"
    lines = (done.stdout or done.stderr).strip().splitlines()
    return lines[0] if lines else "unknown"


def _foreign_root(monitors):
    return Path(monitors["QEMU"]).parents[2]


def libraries(monitors, architecture):
    """The folders that hold the libraries of foreign monitors."""
    if architecture == ARCHITECTURE:
        return []
    return [str(_foreign_root(monitors) / f"usr/lib/{architecture}-linux-gnu")]


def _emulator(monitors, architecture):
    """What runs foreign programs here."""
    if architecture == ARCHITECTURE:
        return []
    return [f"qemu-{architecture}-static", "-L", str(_foreign_root(monitors))]


def versions(husk, monitors, architecture=ARCHITECTURE):
    emulator = _emulator(monitors, architecture)
    found = {monitor: version(program, emulator=emulator)
             for monitor, program in monitors.items() if program}
    return {"Husk": version(husk, "version", emulator), **found}


def _cpu_fields():
    fields = {}
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    return fields


def kvm_flavour():
    """Which module runs guests, and on what it stands."""
    modules = [name for name in ("kvm_amd", "kvm_intel", "kvm_pvm")
               if Path("/sys/module", name).is_dir()]
    if not os.path.exists("/dev/kvm"):
        return "none (no /dev/kvm)"
    flavour = ", ".join(modules) or "built in"
    if "kvm_pvm" in modules:
        return f"{flavour} (no SVM or VMX: guests run by page-table tricks)"
    return f"{flavour} (nested)" if _is_virtual() else f"{flavour} (native)"


def _is_virtual():
    """By the processor's word on x86, elsewhere by the board's: QEMU's is a dummy."""
    board = Path("/proc/device-tree/compatible")
    return ("hypervisor" in _cpu_fields().get("flags", "").split()
            or board.exists() and b"dummy-virt" in board.read_bytes())


# What tells one processor from another, in the words of /proc/cpuinfo.
_MODEL = {
    "x86_64": ("cpu family", "model", "stepping"),
    "aarch64": ("CPU implementer", "CPU part", "CPU revision"),
}


def machine():
    fields = _cpu_fields()
    return {
        "cpu": fields.get("model name", platform.processor() or platform.machine()),
        "family_model_stepping": "/".join(
            fields.get(name, "?") for name in _MODEL[ARCHITECTURE]),
        "cores": os.cpu_count(),
        "memory_mib": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20,
        "kernel": platform.release(),
        "kvm": kvm_flavour(),
        "load_average": round(os.getloadavg()[0], 2),
    }


def now():
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
