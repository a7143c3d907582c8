# SPDX-License-Identifier: Apache-2.0
"""User-mode networking as husk runs it: the child's life and death, and what is refused."""
import os
import shutil
import signal
import socket

import guest


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(child) for child in file.read().split()]


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


class NetUserMachineTest(guest.GuestTest):
    def start_spinning(self, *options):
        """A machine that runs until it is ended, and its child."""
        process = self.start_payload("ends", "spin", "--net", *options)
        self.read_until(process.stdout, b"spinning\n")
        helpers = [child for child in children(process.pid) if "husk-net-user" in self.name(child)]
        self.assertEqual(len(helpers), 1)
        return process, helpers[0]

    def name(self, pid):
        with open(f"/proc/{pid}/comm", encoding="ascii") as file:
            return file.read().strip()

    def test_ends_with_the_machine(self):
        process, helper = self.start_spinning("user")
        process.terminate()
        self.assertEqual(self.finish(process).status, guest.SIGNAL + signal.SIGTERM)
        self.assertFalse(os.path.exists(f"/proc/{helper}"))

    def test_dies_with_husk_that_is_killed(self):
        process, helper = self.start_spinning("user")
        process.kill()
        process.wait(guest.TIMEOUT)
        self.wait_for(lambda: not alive(helper))

    def test_machine_outlives_it(self):
        process, helper = self.start_spinning("user")
        os.kill(helper, signal.SIGKILL)
        self.wait_for(lambda: not alive(helper))
        with self.assertRaises(Exception):
            process.wait(0.1)
        process.terminate()
        self.assertEqual(self.finish(process).status, guest.SIGNAL + signal.SIGTERM)

    def test_is_not_interrupted_from_the_terminal(self):
        process, helper = self.start_spinning("user")
        self.assertNotEqual(os.getpgid(helper), os.getpgid(process.pid))
        process.terminate()
        self.finish(process)

    def test_runs_without_privilege(self):
        process = self.start_program("setpriv", "--bounding-set", "-all", guest.HUSK, "run",
                                     guest.payload("ends"), "--cmdline", "hello", "--net", "user")
        result = self.finish(process)
        self.assertEqual(result.status, guest.POWER_OFF, result)

    def test_taken_port_is_named(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            result = self.run_payload("ends", "hello", "--net", f"user,hostfwd=tcp:{port}:22")
        self.assert_one_line(result, guest.USAGE, "hostfwd", f"port {port} is taken")

    def test_port_is_free_again(self):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        for _ in range(3):
            result = self.run_payload("ends", "hello", "--net", f"user,hostfwd=tcp:{port}:22")
            self.assertEqual(result.status, guest.POWER_OFF, result)

    def test_bad_rules_are_named(self):
        for option, words in (
                ("user,hostfwd=tcp:22", ["hostfwd \"tcp:22\"", "is no forward"]),
                ("user,hostfwd=tcp:1:1,hostfwd=tcp:1:2", ["wants the same packets"]),
                ("user,mtu=1", ["mtu", "1 is not possible"]),
                ("user=/nonexistent", ["cannot run \"/nonexistent\""])):
            result = self.run_payload("ends", "hello", "--net", option)
            self.assert_one_line(result, guest.USAGE, *words)

    def test_missing_program_is_explained(self):
        husk = shutil.copy(guest.HUSK, self.folder)
        process = self.start_program(husk, "run", guest.payload("ends"), "--cmdline", "hello",
                                     "--net", "user")
        self.assert_one_line(self.finish(process), guest.USAGE, "husk-net-user is neither in",
                             self.folder)


if __name__ == "__main__":
    guest.main()
