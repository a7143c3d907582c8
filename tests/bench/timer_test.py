#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""timer_test.py TIMER: the launch benchmark's stopwatch, with shells in place of monitors."""
import os
import signal
import subprocess
import sys
import time
import unittest

TIMER = sys.argv.pop(1)
SPEAK = "echo starting; printf '\\006'; exec sleep 1000"


def timer(*command):
    return subprocess.run([TIMER, *command], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, check=False)


def is_running(pid):
    """Zombies are not: whoever inherits them may be slow to collect them."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


class Timer(unittest.TestCase):
    def test_time_until_the_byte_and_not_until_the_end(self):
        done = timer("sh", "-c", "sleep 0.05; " + SPEAK)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertGreater(int(done.stdout), 50e6)
        self.assertLess(int(done.stdout), 100e9)

    def test_other_output_is_not_the_byte(self):
        done = timer("sh", "-c", "echo hello")
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("sh ended", done.stderr)

    def test_a_command_that_is_not_there(self):
        done = timer("/nonexistent/monitor")
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("/nonexistent/monitor", done.stderr)

    def hold(self):
        holding = subprocess.Popen([TIMER, "--hold", "sh", "-c", SPEAK], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, text=True)
        pid = int(holding.stdout.readline().split()[1])
        self.assertTrue(is_running(pid))
        return holding, pid

    def wait_until_gone(self, pid):
        deadline = time.monotonic() + 20
        while is_running(pid):
            self.assertLess(time.monotonic(), deadline, f"process {pid} is still there")
            time.sleep(0.01)

    def test_held_command_ends_with_input(self):
        holding, pid = self.hold()
        with holding:
            holding.stdin.close()
        self.assertEqual(holding.returncode, 0)
        self.assertFalse(is_running(pid))

    def test_interrupted_stopwatch_leaves_nothing_behind(self):
        holding, pid = self.hold()
        with holding:
            os.kill(holding.pid, signal.SIGTERM)
        self.assertEqual(holding.returncode, 128 + signal.SIGTERM)
        self.wait_until_gone(pid)


if __name__ == "__main__":
    unittest.main()
