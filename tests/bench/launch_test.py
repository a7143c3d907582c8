#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""launch_test.py TOOLS_BENCH BUILD: runs the launch benchmark shortly and reads what it wrote."""
import json
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree
from pathlib import Path

SKIPPED = 77
RUNS = 3


def run(bench, build, folder):
    done = subprocess.run(
        [Path(bench, "run"), "launch", "--runs", str(RUNS), "--build", build,
         "--json", Path(folder, "launch.json"), "--svg", Path(folder, "launch.svg")],
        capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"status {done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout


def check_summary(summary):
    taken = [value for value in summary["samples"] if value is not None]
    assert taken and all(value > 0 for value in taken), summary
    order = [min(taken), summary["p10"], summary["median"], summary["p90"], max(taken)]
    assert order == sorted(order), summary


def check_json(path):
    report = json.loads(path.read_text(encoding="utf-8"))
    assert report["benchmark"] == "launch" and report["runs"] == RUNS
    assert {"cpu", "cores", "kernel", "kvm"} <= report["machine"].keys()
    assert report["versions"]["Husk"].startswith("husk ")
    results = {result["name"]: result for result in report["results"]}
    for name in ("Husk", "floor", "floor, no CPUID"):
        assert "failure" not in results[name], results[name]
    for result in results.values():
        assert "failure" in result or len(result["figures"]["launch"]["samples"]) == RUNS
        for summary in result["figures"].values():
            check_summary(summary)
    assert {"pss", "peak_rss", "libraries"} <= results["Husk"]["figures"].keys()
    assert results["floor"]["figures"]["libraries"]["median"] == 1
    assert ("launch", "Husk", "floor") in [
        (ratio["figure"], ratio["of"], ratio["to"]) for ratio in report["ratios"]]


def check_svg(path):
    drawing = xml.etree.ElementTree.parse(path).getroot()
    words = [element.text for element in drawing.iter("{http://www.w3.org/2000/svg}text")]
    assert "Husk" in words and "floor" in words, words


def main():
    bench, build = sys.argv[1:]
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        print("skipped: there is no /dev/kvm that this user may open")
        return SKIPPED
    with tempfile.TemporaryDirectory() as folder:
        table = run(bench, build, folder)
        assert "Husk / floor" in table, table
        check_json(Path(folder, "launch.json"))
        check_svg(Path(folder, "launch.svg"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
