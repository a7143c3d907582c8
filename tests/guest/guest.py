# SPDX-License-Identifier: Apache-2.0
"""What the guest tests share: running husk on a payload, and seeing that it leaves nothing behind.

ctest sets HUSK (the program), HUSK_PAYLOADS (the folder of payloads), and what kind of build it is.
"""
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

HUSK = os.environ.get("HUSK", "husk")
PAYLOADS = os.environ.get("HUSK_PAYLOADS", ".")
SANITIZED = bool(os.environ.get("HUSK_SANITIZED"))
RELEASE = os.environ.get("HUSK_BUILD_TYPE") == "Release" and not SANITIZED
SKIPPED = 77
TIMEOUT = 60

# husk(1), "Exit status"
POWER_OFF, FAILURE, USAGE, HOST, RESET, PANIC, TRIPLE_FAULT = range(7)
SIGNAL = 128


def payload(name):
    return os.path.join(PAYLOADS, name)


def session_members(session):
    """The processes of a session, as pids; zombies, which are the caller's to reap, are none."""
    members = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", encoding="ascii", errors="replace") as stat:
                fields = stat.read().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            members.append(int(entry))
    return members


class Result:
    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err

    def __repr__(self):
        return f"status {self.status}\nstdout: {self.out!r}\nstderr: {self.err!r}"


class GuestTest(unittest.TestCase):
    """Runs husk in a session of its own, in which nobody may be left when it has ended."""

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="husk-test.")
        self.addCleanup(shutil.rmtree, self.folder)

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, content):
        with open(self.path(name), "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())
        return self.path(name)

    def start(self, *arguments, **how):
        return self.start_program(HUSK, *arguments, **how)

    def start_program(self, *command, **how):
        how.setdefault("stdin", subprocess.DEVNULL)
        how.setdefault("stdout", subprocess.PIPE)
        how.setdefault("stderr", subprocess.PIPE)
        how.setdefault("start_new_session", True)
        process = subprocess.Popen([*map(str, command)], **how)
        self.addCleanup(self.end, process)
        return process

    def end(self, process):
        """After a test that failed; one that passed has waited for its processes."""
        if process.poll() is None:
            process.kill()
            process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream:
                stream.close()

    def finish(self, process, text=None, timeout=TIMEOUT):
        out, err = process.communicate(text, timeout)
        status = process.returncode
        if status < 0:
            self.fail(f"husk died of {signal.Signals(-status).name}; stderr: {err!r}")
        self.assertEqual(session_members(process.pid), [], "left behind")
        return Result(status, (out or b"").decode(errors="replace"),
                      (err or b"").decode(errors="replace"))

    def husk(self, *arguments, text=None, **how):
        if text is not None:
            how["stdin"] = subprocess.PIPE
        return self.finish(self.start(*arguments, **how), text)

    def husk_where(self, script, *arguments):
        """Runs husk in a mount namespace of its own, after `script`. Needs root."""
        return self.finish(self.start_program("unshare", "-m", "sh", "-ec", f'{script}\nexec "$@"',
                                              "sh", HUSK, *arguments))

    def run_payload(self, name, word, *options, **how):
        """husk run on a payload with `word` as its whole command line."""
        return self.husk("run", payload(name), "--cmdline", word, *options, **how)

    def start_payload(self, name, word, *options, **how):
        return self.start("run", payload(name), "--cmdline", word, *options, **how)

    def read_until(self, stream, wanted, seen=b""):
        """Reads a stream (or descriptor) up to and with `wanted`, of which `seen` may be the first
        part, for TIMEOUT seconds at most."""
        while wanted not in seen:
            if not select.select([stream], [], [], TIMEOUT)[0]:
                self.fail(f"{wanted!r} did not come: {seen!r}")
            piece = os.read(stream if isinstance(stream, int) else stream.fileno(), 4096)
            if not piece:
                self.fail(f"ended before {wanted!r} came: {seen!r}")
            seen += piece
        return seen

    def wait_for(self, condition):
        """Looks again and again, for TIMEOUT seconds at most."""
        begun = time.monotonic()
        while not condition():
            if time.monotonic() - begun > TIMEOUT:
                self.fail("did not become so")
            time.sleep(0.001)

    def assert_one_line(self, result, status, *words):
        """A failure as users are to see it: the status, and one line that says what and where."""
        self.assertEqual(result.status, status, result)
        self.assertEqual(result.err.count("\n"), 1, result)
        self.assertTrue(result.err.startswith("husk: "), result)
        for word in words:
            self.assertIn(word, result.err)


def main(needs_kvm=True):
    if needs_kvm and not os.path.exists("/dev/kvm"):
        print("skipped: there is no /dev/kvm")
        sys.exit(SKIPPED)
    unittest.main(verbosity=2)
