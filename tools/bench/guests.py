# SPDX-License-Identifier: Apache-2.0
"""
Running the bare-metal programs of tools/bench/guest under a monitor, on this machine's own KVM.

The program says "ready", gets a byte, says a line per result, and "done". While it waits for
that byte (wait=1 on its command line), the monitor's threads are given their cores: the first vCPU
has one, all others share the rest. So all monitors are placed alike, and no scheduler's luck is
measured. Where the user may, a monitor runs at the highest priority, so that other work on the
machine disturbs it little.
"""
import contextlib
import fcntl
import os
import re
import select
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

TRACEFS = Path("/sys/kernel/tracing")
EVENTS = {"syscalls": "raw_syscalls:sys_enter", "exits": "kvm:kvm_userspace_exit"}
MEMORY = 512  # MiB

# Where a guest finds the devices; the words are explained in guest/virtio.h.
HUSK_MMIO, HUSK_PCI = "mmio=0xd0000000:0x1000", "ecam=0xe0000000 bars=0xc0000000"
MICROVM_MMIO, QEMU_PCI = "mmio=0xfeb00000:0x200", "bars=0xe0000000"


class Failure(Exception):
    """A guest that did not do what it should; the text says what happened."""


# --- commands; each ends so that the guest's command line can follow ---

def husk(program, guest, *options):
    return [program, "run", guest, "--memory", f"{MEMORY}M", *options, "--cmdline"]


def qemu(program, machine, guest, *options):
    """On kvm_pvm "host" offers ARCH_CAPABILITIES, which KVM then refuses."""
    if machine == "microvm":
        options = ("-global", "virtio-mmio.force-legacy=false", *options)
    return [program, "-M", machine, "-accel", "kvm", "-cpu", "host,-arch-capabilities",
            "-smp", "1", "-m", str(MEMORY), "-nodefaults", "-no-user-config", "-display", "none",
            "-name", "bench,debug-threads=on", "-no-reboot", "-serial", "stdio",
            "-kernel", guest, *options, "-append"]


def husk_has(program, option):
    """Whether this husk's `run` knows an option."""
    done = subprocess.run([program, "run", "--help"], capture_output=True, text=True, check=False)
    return option in done.stdout


# --- a running guest ---

def parse(line):
    """("result", ["CASE"], {"cycles": 1, ...}) of "result CASE cycles=1 ..."."""
    kind, *words = line.split()
    values = dict(re.findall(r"(\w+)=(\d+)", line))
    return kind, [word for word in words if "=" not in word], {k: int(v) for k, v in values.items()}


def _threads(pid):
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            yield int(task.name), (task / "comm").read_text(encoding="utf-8")
        except FileNotFoundError:
            pass  # it has ended


def place_threads(pid):
    """The first vCPU gets the last core for itself; nothing is done where there is only one."""
    *others, last = sorted(os.sched_getaffinity(0))
    for thread, name in _threads(pid) if others else ():
        try:
            os.sched_setaffinity(thread, {last} if re.match(r"vcpu|CPU ", name) else others)
        except ProcessLookupError:
            pass


def _prefer(pid):
    """Nice values weigh within a session, autogroups between them; either may be refused."""
    try:
        os.setpriority(os.PRIO_PROCESS, pid, -19)
        Path(f"/proc/{pid}/autogroup").write_text("-20", encoding="ascii")
    except OSError:
        pass


class Guest:
    """One run of a program; ends the monitor when it is left."""

    def __init__(self, command, timeout):
        self._deadline = time.monotonic() + timeout
        self._errors = tempfile.TemporaryFile("w+")
        self._buffer = b""
        self.last = ""
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self._errors, bufsize=0,
                                        start_new_session=True)
        _prefer(self.process.pid)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            try:
                self.process.wait(timeout=1)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()
        self._errors.close()

    def _why(self):
        self._errors.seek(0)
        said = [line.strip() for line in self._errors if line.strip()]
        return said[-1] if said else "it said nothing"

    def line(self):
        """(when, line), the time being that of its arrival."""
        while b"\n" not in self._buffer:
            left = self._deadline - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                raise Failure("the guest took too long")
            read = self.process.stdout.read(4096)
            if not read:
                raise Failure(f"the guest ended early: {self._why()}")
            self._buffer += read
        line, _, self._buffer = self._buffer.partition(b"\n")
        return time.monotonic(), line.decode(errors="replace").strip()

    def until_done(self, on_wait):
        """
        ([(words, values), ...], TSC cycles a second). `on_wait(self)` is called whenever the guest
        says "ready" or "wait", which is then in `last`, before it gets the byte that it may be
        waiting for.
        """
        results, marks = [], []
        while len(marks) < 2:
            when, line = self.line()
            kind, words, values = parse(line or "-")
            if kind == "failed:":
                raise Failure(line)
            if kind == "result":
                results.append((words, values))
            if kind in ("ready", "done"):
                marks.append((when, values["tsc"]))
            if kind in ("ready", "wait"):
                self.last = line
                on_wait(self)
                self.process.stdin.write(b"g")
        (began, first), (ended, last) = marks
        return results, (last - first) / (ended - began)


def run(command, words, timeout, on_wait=lambda guest: None):
    """As Guest.until_done(), of a guest that is given `words` and placed on its cores."""
    def place(guest):
        place_threads(guest.process.pid)
        on_wait(guest)

    with Guest([*command, words + " wait=1"], timeout) as guest:
        return guest.until_done(place)


def cycles_a_second():
    """About how fast the TSC is, to say how long to measure; run() knows it better."""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("cpu MHz"):
            return int(float(line.split(":")[1]) * 1e6)
    return 2_000_000_000


@contextlib.contextmanager
def alone(progress):
    """One measurement at a time on a machine: two would measure each other."""
    with open("/dev/kvm", "rb", buffering=0) as kvm:
        try:
            fcntl.flock(kvm, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("waiting for another benchmark to end")
            fcntl.flock(kvm, fcntl.LOCK_EX)
        yield


# --- counting what a monitor does ---

def can_count():
    """Counting takes perf, tracepoints, and the right to use them."""
    if not shutil.which("perf"):
        return False
    if not (TRACEFS / "events").is_dir():
        subprocess.run(["mount", "-t", "tracefs", "tracefs", TRACEFS], stderr=subprocess.DEVNULL,
                       check=False)
    try:
        return all((TRACEFS / "events" / event.replace(":", "/")).is_dir()
                   for event in EVENTS.values())
    except PermissionError:
        return False


def parse_counts(lines):
    """{"syscalls": n, "exits": n} of what perf stat -x, has written."""
    found = {}
    for line in lines:
        fields = line.split(",")
        for name, event in EVENTS.items():
            if event in fields and fields[0].isdigit():
                found[name] = int(fields[0])
    return found


def count(command, words, timeout):
    """(results, counts) of one run from its start to its end; the guest does not wait."""
    with tempfile.NamedTemporaryFile("r", prefix="husk-bench-") as log:
        counting = ["perf", "stat", "-x,", "-o", log.name]
        for event in EVENTS.values():
            counting += ["-e", event]
        with Guest([*counting, "--", *command, words], timeout) as guest:
            results, _ = guest.until_done(lambda guest: None)
            try:
                guest.process.wait(timeout)
            except subprocess.TimeoutExpired as error:
                raise Failure("the monitor did not end") from error
        return results, parse_counts(log)


# --- contestants: (Result, where its devices are) of each ---

def take_turns(contestants, runs, progress, name, run_once):
    """Samples of run_once(contestant), turn by turn; the first turn only warms up."""
    for turn in range(runs + 1):
        for contestant in contestants:
            result = contestant[0]
            if result.failure:
                continue
            progress(f"{name}: run {turn} of {runs}: {result.name}")
            figures = run_once(contestant)
            for figure, value in figures.items() if turn > 0 else ():
                result.samples.setdefault(figure, []).append(value)


def count_all(contestants, turns, progress, name, count_once):
    for turn in range(turns):
        for contestant in contestants:
            progress(f"{name}: counting, {turn + 1} of {turns}: {contestant[0].name}")
            if not contestant[0].failure:
                try:
                    count_once(contestant)
                except Failure as failure:
                    contestant[0].failure = f"counting: {failure}"


def add_counts(result, few, many):
    """What a request costs, by (requests, counts) of a short run and of a long one."""
    for name in EVENTS:
        if name in few[1] and name in many[1]:
            result.samples.setdefault(name, []).append(
                (many[1][name] - few[1][name]) / (many[0] - few[0]))


def ratios_of(results, figures, ours, theirs):
    """
    Each of our contestants beside that of theirs which does best in a figure, by the starts of
    their names. Counts speak for themselves, 99th percentiles mostly of the machine, and a figure
    "NAME/bits" would say what "NAME" says.
    """
    ratios = []
    for name, figure in figures.items():
        if not figure.unit or name.endswith(("/p99", "/bits")):
            continue

        def median(result, name=name):
            return result.summary(name)["median"]
        peers = [result for result in results
                 if result.name.startswith(theirs) and result.summary(name)]
        if not peers:
            continue
        best = (min if figure.unit == "us" else max)(peers, key=median)
        ratios += [(name, result.name, best.name) for result in results
                   if result.name.startswith(ours)]
    return ratios
