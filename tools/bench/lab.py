# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks that run in the lab share: the lab itself, and what its guests boot."""
import subprocess
import tempfile
from pathlib import Path

import host

TOOLS = Path(__file__).resolve().parent.parent


def output_of(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def micro_files(architecture=host.ARCHITECTURE):
    """The kernel and the initrd of tools/guest/micro."""
    micro = Path(output_of(TOOLS / "guest/micro", "--arch", architecture))
    return {"kernel": str((micro / "vmlinuz").resolve()), "initrd": str(micro / "initrd")}


def firmware(qemu):
    """The small images that QEMU may look for when it starts; the first of a name is the one."""
    found = {}
    for folder in output_of(qemu, "-L", "help").splitlines() if qemu else []:
        for path in Path(folder).glob("*.*"):
            if path.suffix in (".bin", ".rom") and path.exists():
                found.setdefault(path.name, str(path))
    return list(found.values())


class Lab:
    """A session of tools/lab: the one that is named, or one of our own for the time."""

    def __init__(self, build, session, architecture=host.ARCHITECTURE, memory=None, cpus=None):
        self._own = None if session else tempfile.TemporaryDirectory(prefix="husk-bench-")
        self._start_options = ["--still", "yes"]
        for option, value in (("--memory", memory), ("--cpus", cpus)):
            self._start_options += [option, str(value)] if value else []
        self._options = ["--arch", architecture, "--build", str(build),
                         "--session", str(session or Path(self._own.name, "lab"))]

    def __enter__(self):
        if self._own:
            subprocess.run([TOOLS / "lab/start", *self._options, *self._start_options],
                           check=True)
        return self

    def __exit__(self, *_):
        if self._own:
            subprocess.run([TOOLS / "lab/stop", *self._options], check=False)
            self._own.cleanup()

    def start(self, *command):
        return subprocess.Popen([TOOLS / "lab/exec", *self._options, "--", *command],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
