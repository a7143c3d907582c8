# SPDX-License-Identifier: Apache-2.0
"""vsock as a guest and programs of the host see it: connections, ends, and what is left of them."""
import contextlib
import json
import os
import signal
import socket

import guest

CALL_PORT, ECHO_PORT, GOODBYE_PORT = 6000, 5000, 9


class Vsock(guest.GuestTest):
    def start_guest(self, words, *options):
        process = self.start_payload("vsock", words, "--vsock", self.path("v") + ",cid=42",
                                     *options)
        self.seen = self.read_until(process.stdout, b"ready\n")  # and maybe what follows
        self.assertIn(b"cid=0x2a\n", self.seen)
        return process

    def connect(self, port):
        """Asks for the guest's port."""
        program = socket.socket(socket.AF_UNIX)
        self.addCleanup(program.close)
        program.settimeout(guest.TIMEOUT)
        program.connect(self.path("v"))
        program.sendall(b"CONNECT %d\n" % port)
        return program

    def read_line(self, program):
        line = b""
        while not line.endswith(b"\n"):
            piece = program.recv(1)
            self.assertTrue(piece, f"ended after {line!r}")
            line += piece
        return line

    def call(self, port=ECHO_PORT):
        program = self.connect(port)
        self.assertRegex(self.read_line(program), rb"^OK [0-9]+\n$")
        return program

    def assert_hung_up(self, program):
        """A unix socket ends by a reset where its peer has not read all that it was sent."""
        with contextlib.suppress(ConnectionResetError):
            self.assertEqual(program.recv(1), b"")

    def end_guest(self, process):
        self.call(GOODBYE_PORT)
        result = self.finish(process)
        self.assertEqual((result.status, result.err), (guest.POWER_OFF, ""), result)
        self.assertNotIn("FAILED", result.out)
        self.assertFalse(os.path.exists(self.path("v")))
        return result

    def exchange(self, program):
        text = bytes(i * 7 % 251 for i in range(20000))
        program.sendall(text)
        back = b""
        while len(back) < len(text):
            piece = program.recv(65536)
            self.assertTrue(piece)
            back += piece
        self.assertEqual(back, text)

    def check_both_ways(self, *options):
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        listener.settimeout(guest.TIMEOUT)
        listener.bind(self.path(f"v_{CALL_PORT}"))
        listener.listen()
        stats = self.path("stats")
        process = self.start_guest("call", "--stats", stats, *options)
        called, _ = listener.accept()
        self.addCleanup(called.close)
        self.exchange(called)
        called.close()
        program = self.call()
        self.exchange(program)
        program.close()
        result = self.end_guest(process)
        self.assertIn("called\n", self.seen.decode() + result.out)
        with open(stats, encoding="ascii") as file:
            devices = json.load(file)["devices"]
        queues = next(d for d in devices if d["device"] == "vsock")["queues"]
        self.assertEqual([queue.get("connections") for queue in queues], [2, 1, None])
        self.assertGreaterEqual(queues[0]["payload_bytes"], 40000)
        self.assertGreaterEqual(queues[1]["payload_bytes"], 40000)

    def test_both_ways(self):
        self.check_both_ways()

    def test_both_ways_on_pci(self):
        self.check_both_ways("--bus", "pci")

    def test_nobody_listens(self):
        process = self.start_guest("call")
        self.read_until(process.stdout, b"reset\n", self.seen)
        self.end_guest(process)

    def test_the_machines_end_is_the_programs(self):
        process = self.start_guest("x")
        program = self.call()
        process.send_signal(signal.SIGTERM)
        self.assertEqual(self.finish(process).status, guest.SIGNAL + signal.SIGTERM)
        self.assertEqual(program.recv(1), b"")
        self.assertFalse(os.path.exists(self.path("v")))

    def test_a_guest_without_buffers(self):
        """It is stopped as any other, however many programs wait for it."""
        process = self.start_guest("deaf")
        programs = [self.connect(ECHO_PORT) for _ in range(20)]
        process.send_signal(signal.SIGTERM)
        self.assertEqual(self.finish(process).status, guest.SIGNAL + signal.SIGTERM)
        for program in programs:
            self.assert_hung_up(program)

    def test_after_a_kill(self):
        """What a killed husk has left is in nobody's way; what one uses that lives is."""
        process = self.start_guest("x")
        self.assert_one_line(self.run_payload("vsock", "x", "--vsock", self.path("v")),
                             guest.USAGE, self.path("v"), "somebody listens there already")
        process.kill()
        process.communicate()
        self.assertTrue(os.path.exists(self.path("v")))
        self.end_guest(self.start_guest("x"))

    def test_bad_paths(self):
        self.write("file", "x")
        for option, words in ((self.path("file"), ("is there already and no socket",)),
                              (self.path("none/v"), ("No such file", "check the folder")),
                              ("x" * 97, ("97 bytes", "give 96 at most")),
                              ("v,cid=2", ("cid: 2 is not possible; give 3 to",)),
                              ("v,kid=3", ("did you mean \"cid\"?",))):
            self.assert_one_line(self.run_payload("vsock", "x", "--vsock", option), guest.USAGE,
                                 "vsock", *words)


if __name__ == "__main__":
    guest.main()
