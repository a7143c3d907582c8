#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""block_test.py TOOLS_BENCH BUILD: runs the block benchmark shortly and reads what it wrote."""
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

SKIPPED = 77
CASES = ("read:random:4096:1", "read:random:4096:32", "read:random:4096:128")


def run(bench, build, folder):
    done = subprocess.run(
        [Path(bench, "run"), "block", "--runs", "1", "--seconds", "0.01", "--cases",
         "read:random:4096", "--build", build, "--json", Path(folder, "block.json"),
         "--svg", Path(folder, "block.svg")],
        capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"status {done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout


def check_json(path):
    report = json.loads(path.read_text(encoding="utf-8"))
    results = {result["name"]: result for result in report["results"]}
    assert "failure" not in results["Husk"], results["Husk"]
    figures = results["Husk"]["figures"]
    assert {*CASES, CASES[0] + "/p50", CASES[0] + "/p99", "kicks"} <= figures.keys(), figures
    assert all(figures[case]["median"] > 0 for case in CASES), figures
    assert figures[CASES[0] + "/p50"]["median"] <= figures[CASES[0] + "/p99"]["median"]
    # Counts, unlike times, may decide: a kick for each request would be a broken event index.
    assert figures["kicks"]["median"] < 0.5, figures["kicks"]
    if "exits" in figures:
        assert figures["exits"]["median"] < 0.5, figures["exits"]
    # Of the whole monitor, at depth 32. A batch takes five on virtio-mmio, of which two are exits for
    # the interrupt, and at least half of what is in flight; on PCI it takes two.
    if "syscalls" in figures:
        assert figures["syscalls"]["median"] <= 5 / 16, figures["syscalls"]
        on_pci = results["Husk, PCI"]["figures"]["syscalls"]
        assert on_pci["median"] <= 0.25, on_pci


def main():
    bench, build = sys.argv[1:]
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        print("skipped: there is no /dev/kvm that this user may open")
        return SKIPPED
    with tempfile.TemporaryDirectory() as folder:
        table = run(bench, build, folder)
        assert "read random 4K x32, kIOPS" in table, table
        check_json(Path(folder, "block.json"))
        assert Path(folder, "block.svg").read_text(encoding="utf-8").startswith("<svg")
    return 0


if __name__ == "__main__":
    sys.exit(main())
