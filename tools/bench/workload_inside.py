# SPDX-License-Identifier: Apache-2.0
"""
The lab's side of the fio and iperf benchmarks: boots each contestant in turn, and says what the
program in its guest measured.

A plan comes as JSON on standard input, a line of JSON per guest goes to standard output;
workload.py has both. The benchmark's own module says what runs in the guest and how its output is
read (PROGRAM, SCRIPT, values_of) and what it needs on this side (prepare).
"""
import importlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import host
from boot_inside import run_to_end, say, take_contestants, take_files, take_program


def libraries_of(program):
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    return re.findall(r"(/\S+) \(", listed)


def add_to_initrd(initrd, program, script, folder):
    """Appends an archive with the program, its libraries and /workload, the script."""
    root = folder / "root"
    found = shutil.which(program)
    copies = {found: root / "bin" / program}
    copies.update({path: root / path.lstrip("/") for path in libraries_of(found)})
    for path, copy in copies.items():
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    (root / "workload").write_text(script, encoding="utf-8")
    with open(initrd, "ab") as archive:
        subprocess.run("find . -mindepth 1 | cpio --quiet -o -H newc -R 0:0", shell=True, cwd=root,
                       stdout=archive, check=True)
    shutil.rmtree(root)


def take_helpers(plan, folder):
    """Husk looks for the program behind --net user beside its own."""
    programs = {Path(command[0]).parent / "husk-net-user"
                for command in plan["contestants"].values()}
    for program in filter(Path.exists, programs):
        take_program(program, folder)


def run_once(module, command, output, timeout):
    """{"figures": ...} or {"failure": ...}"""
    try:
        run_to_end(command, output, timeout)
        ended = True
    except TimeoutError:
        ended = False
    said = output.read_text(errors="replace").replace("\r", "")
    figures = module.values_of(said)
    if not ended or not figures:
        telling = [line for line in said.splitlines() if re.search("panic|BUG|rror", line)]
        tail = telling[-1] if telling else said[-300:].strip()
        why = "measured nothing" if ended else f"did not end within {timeout} s"
        return {"failure": f"{why}; it said: {tail}"}
    return {"figures": figures}


def main():
    plan = json.loads(sys.stdin.readline())
    module = importlib.import_module(plan["benchmark"])
    say(machine=host.machine())
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        folder = Path(name)
        names = take_files(plan, folder)
        add_to_initrd(names["initrd"], module.PROGRAM, module.SCRIPT, folder)
        names.update(module.prepare(folder))
        contestants = take_contestants(plan, names, folder / "programs")
        take_helpers(plan, folder / "programs")
        for turn in range(1, plan["runs"] + 1):
            for contestant, command in list(contestants.items()):
                result = run_once(module, command, folder / "output", plan["timeout"])
                say(name=contestant, turn=turn, **result)
                if "failure" in result:
                    del contestants[contestant]
        module.finish()


if __name__ == "__main__":
    main()
