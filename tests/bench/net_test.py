#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""net_test.py TOOLS_BENCH BUILD: runs the net benchmark shortly and reads what it wrote."""
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

SKIPPED = 77
NEEDED = ("/dev/kvm", "/dev/net/tun")


def run(bench, build, folder):
    done = subprocess.run(
        [Path(bench, "run"), "net", "--runs", "1", "--seconds", "0.02", "--build", build,
         "--json", Path(folder, "net.json"), "--svg", Path(folder, "net.svg")],
        capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"status {done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout


def check_json(path):
    report = json.loads(path.read_text(encoding="utf-8"))
    husk = next(result for result in report["results"] if result["name"] == "Husk")
    assert "failure" not in husk, husk
    for direction in ("send", "receive"):
        for size in ("64", "1500"):
            assert husk["figures"][f"{direction}:{size}"]["median"] > 0, husk
    # Counts, unlike times, may decide.
    if "exits" in husk["figures"]:
        assert husk["figures"]["exits"]["median"] < 0.5, husk["figures"]["exits"]


def main():
    bench, build = sys.argv[1:]
    for device in NEEDED:
        if not os.access(device, os.R_OK | os.W_OK):
            print(f"skipped: there is no {device} that this user may open")
            return SKIPPED
    before = os.listdir("/sys/class/net")
    with tempfile.TemporaryDirectory() as folder:
        table = run(bench, build, folder)
        assert "receive 64 KiB, Gbit/s" in table, table
        check_json(Path(folder, "net.json"))
    assert os.listdir("/sys/class/net") == before, "an interface was left behind"
    return 0


if __name__ == "__main__":
    sys.exit(main())
