#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the seed corpus of one fuzz target: make_seeds.py TARGET FOLDER.

The module seeds/TARGET.py beside this file has a function seeds(), which returns a dictionary
of file name to bytes.
"""
import importlib
import pathlib
import sys


def main():
    target, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    sys.path.insert(0, str(pathlib.Path(__file__).parent))
    sys.dont_write_bytecode = True
    seeds = importlib.import_module(f"seeds.{target}").seeds()
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in seeds.items():
        (folder / name).write_bytes(content)


if __name__ == "__main__":
    main()
