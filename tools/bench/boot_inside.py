# SPDX-License-Identifier: Apache-2.0
"""
The lab's side of the boot benchmark: boots each contestant in turn and says what it measured.

A plan comes as JSON on standard input, a line of JSON per boot goes to standard output; boot.py
has both. One clock, the kernel's monotonic one, times everything: this program reads it before the
fork and after the end, and KVM's tracepoints carry it for what happens between. Tracing therefore
needs nothing of the monitor, and treats all alike.
"""
import contextlib
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import host

TRACEFS = Path("/sys/kernel/tracing")
BUFFER_KIB = 32 << 10  # for each CPU
# The tracepoint that sees the micro guest write to its timing port, when its userspace runs.
MARKS = {
    "x86_64": ("kvm_pio", "port == 0x5f0"),
    "aarch64": ("kvm_mmio", "gpa == 0x9020000"),
}
MARK, MARK_FILTER = MARKS[host.ARCHITECTURE]
HELLO = b"hello from userspace"

_EVENT = re.compile(r" (\d+\.\d+): (\w+): ")
_KEPT = re.compile(r"# entries-in-buffer/entries-written: (\d+)/(\d+)")


class Trace:
    """
    KVM's tracepoints, in a trace instance of their own: each entry and exit of the guest, each exit
    to the monitor (kvm_userspace_exit), and the write to the timing port.
    """

    def __init__(self):
        if not (TRACEFS / "instances").is_dir():
            subprocess.run(["mount", "-t", "tracefs", "tracefs", TRACEFS], check=True)
        self._root = TRACEFS / "instances" / f"husk-bench-{os.getpid()}"
        self._root.mkdir()
        self._write("tracing_on", "0")
        self._write("trace_clock", "mono")
        self._write("buffer_size_kb", str(BUFFER_KIB))
        self._write(f"events/kvm/{MARK}/filter", MARK_FILTER)
        for event in ("kvm_entry", "kvm_exit", "kvm_userspace_exit", MARK):
            self._write(f"events/kvm/{event}/enable", "1")

    def _write(self, name, text):
        (self._root / name).write_text(text, encoding="ascii")

    def begin(self):
        self._write("trace", "")
        self._write("tracing_on", "1")

    def end(self):
        """The times in seconds of each event, by its name; None if there were too many."""
        self._write("tracing_on", "0")
        times = {}
        with open(self._root / "trace", encoding="ascii") as trace:
            for line in trace:
                kept = _KEPT.match(line)
                if kept and kept[1] != kept[2]:
                    return None
                found = _EVENT.search(line)
                if found:
                    times.setdefault(found[2], []).append(float(found[1]))
        return times

    def close(self):
        self._root.rmdir()


def run_to_end(command, output, timeout):
    """(when it was started, when it ended) in seconds; raises TimeoutError."""
    actions = [(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
               (os.POSIX_SPAWN_OPEN, 1, output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
               (os.POSIX_SPAWN_DUP2, 1, 2)]
    began = time.monotonic()
    pid = os.posix_spawnp(command[0], command, os.environ, file_actions=actions)
    process = os.pidfd_open(pid)
    try:
        in_time = select.select([process], [], [], timeout)[0]
        ended = time.monotonic()
        if not in_time:
            os.kill(pid, signal.SIGKILL)
    finally:
        os.waitpid(pid, 0)
        os.close(process)
    if not in_time:
        raise TimeoutError
    return began, ended


def figures_of(began, ended, times):
    """The figures of one boot; None if the trace does not tell of a whole one."""
    if not times or not times.keys() >= {"kvm_entry", "kvm_exit", "kvm_userspace_exit", MARK}:
        return None
    entry, userspace = times["kvm_entry"][0], times[MARK][0]
    # QEMU visits KVM_RUN before it lets the guest run: that is no exit of the guest.
    first_exit = next(at for at in times["kvm_userspace_exit"] if at > entry)
    return {
        "userspace": (userspace - began) * 1e3,
        "start": (entry - began) * 1e3,
        "first_exit": (first_exit - entry) * 1e3,
        "kernel": (userspace - first_exit) * 1e3,
        "end": (ended - userspace) * 1e3,
        "userspace_exits": len(times["kvm_userspace_exit"]),
        "exits": len(times["kvm_exit"]),
    }


def boot(trace, command, output, timeout):
    """{"figures": ...} or {"failure": ...}"""
    trace.begin()
    try:
        began, ended = run_to_end(command, output, timeout)
    except TimeoutError:
        began = ended = None
    times = trace.end()
    said = output.read_bytes()
    tail = said[-300:].decode(errors="replace").strip().replace("\r", "")
    if ended is None:
        return {"failure": f"did not end within {timeout} s; it said: {tail}"}
    figures = figures_of(began, ended, times) if HELLO in said else None
    return {"figures": figures} if figures else {"failure": f"did not boot; it said: {tail}"}


def take_files(plan, folder):
    """Copies what is booted into this host's memory. Returns the words that name the copies."""
    names = {name: str(folder / name) for name in (*plan["files"], *plan["texts"], "firmware")}
    for name, source in plan["files"].items():
        shutil.copyfile(source, names[name])
    Path(names["firmware"]).mkdir()
    for source in plan["firmware"]:
        shutil.copy(source, names["firmware"])
    for name, text in plan["texts"].items():
        Path(names[name]).write_text(substitute(text, names), encoding="utf-8")
    return names


def take_program(program, folder):
    """
    Copies a monitor and its libraries: this host's other files are another machine's, and asking
    for them takes longer the more of them there are. Returns the copy, to be run with
    LD_LIBRARY_PATH set to `folder`.
    """
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    for library in re.findall(r"=> (/\S+)", listed):
        if not (folder / Path(library).name).exists():
            shutil.copy(library, folder)
    return shutil.copy(program, folder)


def take_contestants(plan, names, folder):
    """Copies all programs; returns the commands that start the copies."""
    folder.mkdir()
    os.environ["LD_LIBRARY_PATH"] = ":".join([str(folder), *plan["libraries"]])
    return {name: [take_program(program, folder),
                   *(substitute(argument, names) for argument in arguments)]
            for name, (program, *arguments) in plan["contestants"].items()}


def substitute(text, names):
    for name, path in names.items():
        text = text.replace("{" + name + "}", path)
    return text


def say(**fields):
    print(json.dumps(fields), flush=True)


def main():
    plan = json.loads(sys.stdin.readline())
    say(machine=host.machine())
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder, \
            contextlib.closing(Trace()) as trace:
        names = take_files(plan, Path(folder))
        contestants = take_contestants(plan, names, Path(folder, "programs"))
        for turn in range(plan["runs"] + 1):  # the first brings programs into memory
            for name, command in list(contestants.items()):
                result = boot(trace, command, Path(folder, "output"), plan["timeout"])
                say(name=name, turn=turn, **result)
                if "failure" in result:
                    del contestants[name]


if __name__ == "__main__":
    main()
