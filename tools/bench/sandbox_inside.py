# SPDX-License-Identifier: Apache-2.0
"""
The lab's side of the sandbox benchmark: runs each contestant in turn and says what it measured.

A plan comes as JSON on standard input, a line of JSON per run goes to standard output; sandbox.py
has both. KVM's tracepoints tell when a guest began and when its first process ran, as in
boot_inside.py.
"""
import concurrent.futures
import contextlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import host
import process
from boot_inside import MARK, Trace, say, substitute, take_program
from sandbox import FIRST, HUSK, SAID

DISK_MIB = 768
EXECS = 5  # counted ones, in a sandbox that runs
AT_ONCE = 2  # sandboxes that are being started


# --- files ---

@contextlib.contextmanager
def disk(folder):
    """A file system in memory whose caches can be dropped."""
    image, mount = folder / "disk.img", folder / "disk"
    mount.mkdir()
    with open(image, "wb") as file:
        file.truncate(DISK_MIB << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-O", "^has_journal", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, mount], check=True)
    try:
        yield mount
    finally:
        subprocess.run(["umount", "-l", mount], check=False)


def copy(source, target):
    if os.path.isdir(source):
        shutil.copytree(source, target, symlinks=True)
    else:
        shutil.copyfile(source, target)


def make_bundle(folder, root, words):
    """What crun runs: its own example of a specification with our root and command."""
    folder.mkdir()
    subprocess.run(["crun", "spec"], cwd=folder, check=True)
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["process"].update(terminal=False, args=words)
    config["root"] = {"path": root, "readonly": True}
    path.write_text(json.dumps(config), encoding="utf-8")


def take_files(plan, memory, folder):
    """Copies all that is used, and returns the words that name the copies."""
    names = {name: str(folder / name) for name in (*plan["files"], "firmware")}
    for name, source in plan["files"].items():
        copy(source, names[name])
    Path(names["firmware"]).mkdir()
    for source in plan["firmware"]:
        shutil.copy(source, names["firmware"])
    names["state"] = str(memory / "state")
    if shutil.which("crun"):
        names.update(bundle=str(folder / "bundle"), standing=str(folder / "standing"))
        make_bundle(folder / "bundle", names["root"], ["/bin/echo", SAID])
        make_bundle(folder / "standing", names["root"], ["/bin/sleep", "100000"])
    return names


def take_environment(memory, folder):
    """Folders of our own, and Husk's cache where caches can be dropped."""
    for name, path in (("XDG_CACHE_HOME", folder / "cache"), ("XDG_RUNTIME_DIR", memory / "run")):
        path.mkdir(mode=0o700)
        os.environ[name] = str(path)


def take_programs(plan, folder):
    """Copies programs as boot_inside.py does; returns what makes a command of a plan's words."""
    folder.mkdir()
    os.environ["LD_LIBRARY_PATH"] = str(folder)
    for helper in plan["helpers"]:
        take_program(helper, folder)

    def command(words, names):
        program = folder / Path(words[0]).name
        if not program.exists():
            take_program(words[0], folder)
        return [str(program), *(substitute(word, names) for word in words[1:])]
    return command


def drop_caches(before):
    if before == FIRST:
        shutil.rmtree(Path(os.environ["XDG_CACHE_HOME"], "husk"), ignore_errors=True)
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3", encoding="ascii")


# --- one run ---

def _spawn(command, output, errors):
    return os.posix_spawn(command[0], command, os.environ, setpgroup=0, file_actions=[
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, output, 1), (os.POSIX_SPAWN_DUP2, errors, 2)])


def run_to_end(command, errors, timeout):
    """
    (when it began, when the command in it spoke, when it ended, its status) in seconds; the second
    is None if it did not.
    """
    ours, its = os.pipe()
    said, spoke = b"", None
    began = time.monotonic()
    pid = _spawn(command, its, errors.fileno())
    os.close(its)
    guard = threading.Timer(timeout, os.killpg, (pid, signal.SIGKILL))
    guard.start()
    with open(ours, "rb", buffering=0) as pipe:
        while spoke is None and (part := pipe.read(4096)):
            said += part
            if SAID.encode() in said:
                spoke = time.monotonic()
        _, status = os.waitpid(pid, 0)
    ended = time.monotonic()
    guard.cancel()
    return began, spoke, ended, os.waitstatus_to_exitcode(status)


def figures_of(began, spoke, ended, times):
    """The figures of one run; `times` are the trace's, None for what is no machine."""
    figures = {"exit": (ended - began) * 1e3, "first_byte": (spoke - began) * 1e3,
               "end": (ended - spoke) * 1e3}
    if times is None:
        return figures
    if not times.keys() >= {"kvm_entry", MARK}:
        return None
    entry, userspace = times["kvm_entry"][0], times[MARK][0]
    kernel = userspace - entry
    return {**figures, "start": (entry - began) * 1e3, "kernel": kernel * 1e3,
            "userspace": (spoke - userspace) * 1e3,
            "beyond": (ended - began - kernel) / kernel * 100}


def run_once(trace, contestant, command, errors, timeout):
    """{"figures": ...} or {"failure": ...}"""
    if contestant["before"]:
        drop_caches(contestant["before"])
    errors.seek(0)
    errors.truncate()
    trace.begin()
    began, spoke, ended, status = run_to_end(command, errors, timeout)
    times = trace.end()
    errors.seek(0)
    tail = errors.read()[-300:].decode(errors="replace").strip()
    if spoke is None or status != 0:
        said = "spoke" if spoke else "was silent"
        return {"failure": f"{said} and ended with {status}: {tail}"}
    figures = figures_of(began, spoke, ended, (times or {}) if contestant["is_machine"] else None)
    return {"figures": figures} if figures else {"failure": "the trace does not tell of its boot"}


# --- sandboxes that stay ---

class Standing:
    """A sandbox that stays until the context's end."""

    def __init__(self, commands, name):
        self._commands, self._name = commands, name

    def _run(self, what):
        # A file, not a pipe, which processes that stay would hold.
        with tempfile.TemporaryFile() as said:
            done = subprocess.run(self._command(what), stdin=subprocess.DEVNULL, stdout=said,
                                  stderr=said, timeout=300, check=False)
            said.seek(0)
            if done.returncode != 0:
                raise RuntimeError(f"{what}: status {done.returncode}: "
                                   f"{said.read()[-300:].decode(errors='replace').strip()}")

    def _command(self, what):
        return [substitute(word, {"name": self._name}) for word in self._commands[what]]

    def __enter__(self):
        self._run("start")
        return self

    def __exit__(self, *_):
        with contextlib.suppress(RuntimeError, subprocess.TimeoutExpired):
            self._run("end")

    def exec_ms(self):
        began = time.monotonic()
        self._run("exec")
        return (time.monotonic() - began) * 1e3

    def process(self):
        """Of what was started with this name; the process that is the sandbox."""
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                words = path.read_bytes().split(b"\0")
                if self._name.encode() in words and b"--detach" in words:
                    return int(path.parent.name)
        raise RuntimeError(f"no process of {self._name}")


def _children(pid):
    return [int(child) for task in Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text(encoding="ascii").split()]


def memory_of(sandbox, guest_mib):
    """(PSS beside guest memory and libc, that of helpers) in KiB."""
    pid = sandbox.process()
    maps = process.mappings(pid)
    guest = process.guest_memory(maps, guest_mib << 20)
    if not guest:
        raise RuntimeError("which mappings are the guest's memory cannot be told")
    ours = [mapping for mapping in maps if mapping not in guest]
    helpers = [mapping for child in _children(pid) for mapping in process.mappings(child)]
    return process.pss_beside_libc(ours), process.pss_beside_libc(helpers)


def measure_execs(standing):
    with contextlib.ExitStack() as stack:
        running = {}
        for name, commands in standing.items():
            try:
                running[name] = stack.enter_context(Standing(commands, f"bench-{name.lower()}"))
            except (RuntimeError, subprocess.TimeoutExpired) as error:
                print(f"bench: exec in {name} is left out: {error}", file=sys.stderr)
        for turn in range(EXECS + 1):
            for name, sandbox in list(running.items()):
                try:
                    say(name=name, turn=turn, figures={"exec": sandbox.exec_ms()})
                except (RuntimeError, subprocess.TimeoutExpired) as error:
                    print(f"bench: exec in {name} is left out: {error}", file=sys.stderr)
                    del running[name]


def measure_one(commands, guest_mib):
    with Standing(commands, "bench-one") as sandbox:
        pss, helpers = memory_of(sandbox, guest_mib)
        say(name=HUSK, turn=1, figures={"pss": pss, "helpers": helpers})


def measure_many(commands, count, guest_mib):
    with contextlib.ExitStack() as stack, \
            concurrent.futures.ThreadPoolExecutor(AT_ONCE) as starters:
        began = time.monotonic()
        all_of_them = list(starters.map(
            lambda number: stack.enter_context(Standing(commands, f"bench-{number}")),
            range(count)))
        rate = count / (time.monotonic() - began)
        pss = statistics.median(memory_of(sandbox, guest_mib)[0] for sandbox in all_of_them)
        say(name=HUSK, turn=1, figures={"pss_many": pss, "rate": rate})


# --- all of it ---

def measure(plan, memory, folder):
    names = take_files(plan, memory, folder)
    take_environment(memory, folder)
    command = take_programs(plan, folder / "programs")
    contestants = [(entry, command(entry["command"], names)) for entry in plan["contestants"]]
    standing = {name: {what: command(words, {**names, "name": "{name}"})
                       for what, words in commands.items()}
                for name, commands in plan["standing"].items()}
    with contextlib.closing(Trace()) as trace, open(memory / "errors", "w+b") as errors:
        for turn in range(plan["runs"] + 1):  # the first brings programs into memory
            for entry, words in list(contestants):
                result = run_once(trace, entry, words, errors, plan["timeout"])
                say(name=entry["name"], turn=turn, **result)
                if "failure" in result:
                    contestants.remove((entry, words))
    if plan["many"] > 0:
        measure_many(standing[HUSK], plan["many"], plan["memory"])
        return
    measure_execs(standing)
    if HUSK in standing:
        measure_one(standing[HUSK], plan["memory"])


def main():
    plan = json.loads(sys.stdin.readline())
    say(machine=host.machine())
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name, disk(Path(name)) as folder:
        measure(plan, Path(name), folder)


if __name__ == "__main__":
    main()
