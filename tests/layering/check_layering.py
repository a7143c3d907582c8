#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks what the compiler cannot: who includes whom, how long files are, how they begin.

    tools -> husk.h
    sandbox -> husk.h, agent, core
    agent -> itself
    vmm   -> arch, firmware, devices, core
    arch, firmware, devices -> core     (never each other)
    core  -> libc and the kernel's headers

Headers of the same folder may be named without it. Prints one line for each violation and exits
with 1 if there is any.

usage: check_layering.py [ROOT]
"""
import os
import pathlib
import re
import sys

LINES_MAX = 800

# Folder (the longest that matches a file counts), and the prefixes that its files may include.
MAY_INCLUDE = {
    "vmm/core": ("core/",),
    "arch": ("core/", "arch/"),
    "firmware": ("core/", "firmware/"),
    "devices": ("core/", "devices/"),
    "devices/console": ("core/", "devices/console/"),
    "devices/disk": ("core/", "devices/disk/"),
    "devices/net": ("core/", "devices/net/"),
    "devices/vsock": ("core/", "devices/vsock/"),
    "vmm": ("core/", "arch/", "firmware/", "devices/", "vmm/"),
    "agent": ("agent/",),
    "sandbox": ("husk.h", "core/", "agent/", "sandbox/"),
    "tools": ("husk.h",),
    "tools/guest": ("timing-mark.h",),  # each architecture's own, in the folder of its name
    "tests": ("core/", "arch/", "firmware/", "devices/", "vmm/", "agent/",
              "sandbox/", "husk.h", "support/"),
}
# Files with a rule of their own: what is installed stands alone.
MAY_INCLUDE_FILE = {
    "vmm/husk.h": (),
    "agent/mark.c": ("agent/", "timing-mark.h"),
    "tools/bench/sandbox_init.c": ("agent/",),  # a peer's agent, made of ours
}
# Folders whose headers may be named without their folder.
MAY_INCLUDE_SIBLINGS = ("tools", "tests")

LAYERS = ("core/", "arch/", "firmware/", "devices/", "vmm/", "agent/", "sandbox/", "husk.h")
C_SUFFIXES = (".c", ".h", ".S")
SPDX_SUFFIXES = C_SUFFIXES + (".py", ".sh", ".cmake", ".ld", "CMakeLists.txt")
SPDX = "SPDX-License-Identifier: Apache-2.0"
INCLUDE = re.compile(r'^\s*#\s*include(?:_next)?\s*(?:"([^"]*)"|<([^>]*)>|(.*))')


def source_files(root):
    """Every file under the folders that hold sources, as paths relative to the root."""
    for top in sorted({folder.split("/")[0] for folder in MAY_INCLUDE} | {"cmake"}):
        for folder, folders, names in os.walk(root / top):
            folders[:] = sorted(name for name in folders if name != "__pycache__")
            for name in sorted(names):
                yield (pathlib.Path(folder) / name).relative_to(root)


def under(path, folder):
    return path == folder or path.startswith(folder + "/")


def allowed_prefixes(path):
    if path in MAY_INCLUDE_FILE:
        return MAY_INCLUDE_FILE[path]
    matching = [folder for folder in MAY_INCLUDE if under(path, folder)]
    return MAY_INCLUDE[max(matching, key=len)] if matching else ()


def is_sibling(root, path, included):
    return (any(under(path, folder) for folder in MAY_INCLUDE_SIBLINGS)
            and "/" not in included and (root / path).parent.joinpath(included).is_file())


def include_violation(root, path, quoted, angled, computed):
    """What is wrong with one #include, or None."""
    if computed:
        return "includes what a macro says; name the file"
    name = quoted if quoted is not None else angled
    if ".." in name.split("/"):
        return f'includes "{name}"; name files from a layer\'s root, without ..'
    if quoted is None:
        if name.startswith(LAYERS):
            return f'includes <{name}>; write "{name}" for files of Husk'
        return None
    if name.startswith(allowed_prefixes(path)) or is_sibling(root, path, name):
        return None
    allowed = ", ".join(allowed_prefixes(path)) or "nothing of Husk"
    return f'includes "{name}"; it may include {allowed}'


def check_includes(root, path, lines):
    for number, line in enumerate(lines, 1):
        match = INCLUDE.match(line)
        violation = match and include_violation(root, path, *match.groups())
        if violation:
            yield f"{path}:{number}: {violation}"


def check_start(path, lines):
    first = lines[1:2] if lines and lines[0].startswith("#!") else lines[:1]
    if not first or SPDX not in first[0]:
        yield f"{path}:1: does not begin with the line '{SPDX}'"


def check_file(root, path):
    name = path.as_posix()
    try:
        lines = (root / path).read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        yield f"{name}: is no UTF-8 text"
        return
    if name.endswith(C_SUFFIXES):
        yield from check_includes(root, name, lines)
    if name.endswith(SPDX_SUFFIXES) or (lines and lines[0].startswith("#!")):
        yield from check_start(name, lines)
        if len(lines) > LINES_MAX:
            yield f"{name}: has {len(lines)} lines; split what is over {LINES_MAX}"


def check(root):
    """All violations under `root`, and how many files were looked at."""
    files = list(source_files(root))
    return [line for path in files for line in check_file(root, path)], len(files)


def main():
    if len(sys.argv) > 2 or sys.argv[1:] in (["-h"], ["--help"]):
        print(__doc__)
        return 0 if len(sys.argv) == 2 else 2
    root = pathlib.Path(sys.argv[1] if len(sys.argv) == 2 else ".")
    violations, count = check(root)
    if count == 0:
        print(f"{root}: no sources here", file=sys.stderr)
        return 2
    for violation in violations:
        print(violation)
    print(f"{count} files, {len(violations)} violations")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
