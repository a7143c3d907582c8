# SPDX-License-Identifier: Apache-2.0
"""What a launch costs, in counts, which no noisy machine can blur; and the size of the program."""
import os
import re
import shutil
import subprocess
import unittest

import guest

SYSCALLS_MAX = 220
STRIPPED_SIZE_MAX = 400 * 1024
LIBRARIES = {"libc.so.6"}


@unittest.skipUnless(guest.RELEASE, "only a release build is small")
class Footprint(guest.GuestTest):
    def output(self, *command):
        return subprocess.run(command, check=True, capture_output=True, text=True,
                              timeout=guest.TIMEOUT).stdout

    def test_libraries(self):
        needed = re.findall(r"\(NEEDED\).*\[(.*)\]", self.output("readelf", "-d", guest.HUSK))
        self.assertLessEqual(set(needed), LIBRARIES)

    def test_size(self):
        self.output("strip", "-o", self.path("husk"), guest.HUSK)
        self.assertLessEqual(os.path.getsize(self.path("husk")), STRIPPED_SIZE_MAX)

    @unittest.skipUnless(shutil.which("strace"), "strace is not installed")
    def test_system_calls_of_a_launch(self):
        self.output("strace", "-f", "-o", self.path("trace"), guest.HUSK, "run",
                    guest.payload("ends"), "--cmdline", "hello", "--memory", "128M")
        with open(self.path("trace"), encoding="ascii", errors="replace") as trace:
            calls = [line for line in trace if re.match(r"\d+ +\w+\(", line)]
        print(f"({len(calls)} system calls)")
        self.assertLessEqual(len(calls), SYSCALLS_MAX)


if __name__ == "__main__":
    guest.main()
