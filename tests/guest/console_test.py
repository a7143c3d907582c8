# SPDX-License-Identifier: Apache-2.0
"""The console on pipes, files, nothing at all, and on a terminal that must come back as it was."""
import fcntl
import os
import pty
import signal
import subprocess
import termios

import guest


class Streams(guest.GuestTest):
    def test_pipes(self):
        result = self.run_payload("ends", "echo", text=b"hello, guest\x01\x00\xff\r\nq")
        self.assertEqual(result.status, guest.POWER_OFF, result)
        self.assertEqual(result.out, "echo\nhello, guest\x01\x00\ufffd\r\n\nbye\n")
        self.assertEqual(result.err, "")

    def test_much_input(self):
        text = bytes(97 + i % 16 for i in range(20000))
        result = self.run_payload("ends", "echo", text=text + b"q")
        self.assertEqual(result.out, f"echo\n{text.decode()}\nbye\n")

    def test_end_of_input_does_not_end_the_guest(self):
        process = self.start_payload("ends", "echo", stdin=subprocess.PIPE)
        self.read_until(process.stdout, b"echo\n")
        process.stdin.write(b"a")
        process.stdin.close()
        process.stdin = None
        self.read_until(process.stdout, b"a")
        self.assertIsNone(process.poll())
        process.terminate()
        self.assertEqual(self.finish(process).status, guest.SIGNAL + signal.SIGTERM)

    def test_files(self):
        with open(self.write("in", "from a file q"), "rb") as source, \
                open(self.path("out"), "wb") as sink:
            result = self.run_payload("ends", "echo", stdin=source, stdout=sink)
        self.assertEqual(result.status, guest.POWER_OFF, result)
        with open(self.path("out"), encoding="ascii") as sink:
            self.assertEqual(sink.read(), "echo\nfrom a file \nbye\n")

    def test_dev_null(self):
        result = self.run_payload("ends", "hello", stdout=subprocess.DEVNULL)
        self.assertEqual((result.status, result.err), (guest.POWER_OFF, ""))

    def test_console_off(self):
        result = self.run_payload("ends", "hello", "--console", "off", text=b"nobody reads this")
        self.assertEqual((result.status, result.out, result.err), (guest.POWER_OFF, "", ""))

    def test_closed_pipe(self):
        reader, writer = os.pipe()
        os.close(reader)
        result = self.run_payload("ends", "hello", stdout=writer)
        os.close(writer)
        self.assert_one_line(result, guest.FAILURE, "standard output", "Broken pipe")

    def test_full_disk(self):
        with open("/dev/full", "wb") as full:
            result = self.run_payload("ends", "hello", stdout=full)
        self.assert_one_line(result, guest.FAILURE, "standard output", "No space left")

    def test_closed_descriptors(self):
        """With stdin, stdout or stderr closed, no descriptor of husk's own may take its place."""
        for closed in (0, 1, 2):
            with self.subTest(closed):
                result = self.run_payload("ends", "hello",
                                          preexec_fn=lambda fd=closed: os.close(fd))
                if closed == 1:
                    self.assert_one_line(result, guest.FAILURE, "standard output")
                else:
                    self.assertEqual((result.status, result.out), (guest.POWER_OFF, "hello\n"))


class IgnoredSignals(guest.GuestTest):
    def test_nohup(self):
        process = self.start_program("nohup", guest.HUSK, "run", guest.payload("ends"),
                                     "--cmdline", "echo", stdin=subprocess.PIPE)
        self.read_until(process.stdout, b"echo\n")
        process.send_signal(signal.SIGHUP)
        text = b"still there" * 100  # more than a machine that is ending would give back
        process.stdin.write(text)
        process.stdin.flush()
        self.read_until(process.stdout, text)
        process.terminate()
        result = self.finish(process)
        self.assertEqual((result.status, result.err), (guest.SIGNAL + signal.SIGTERM, ""))


class Terminal(guest.GuestTest):
    def setUp(self):
        super().setUp()
        self.keyboard, self.terminal = pty.openpty()
        self.addCleanup(os.close, self.keyboard)
        self.addCleanup(os.close, self.terminal)
        self.before = termios.tcgetattr(self.terminal)

    def take_terminal(self):
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def start_on_terminal(self, word, *options, **how):
        how.setdefault("stdout", self.terminal)
        return self.start_payload("ends", word, *options, stdin=self.terminal,
                                  preexec_fn=self.take_terminal, **how)

    def type(self, keys):
        os.write(self.keyboard, keys)

    def expect(self, wanted):
        return self.read_until(self.keyboard, wanted)

    def finish_on_terminal(self, process, status):
        result = self.finish(process)
        self.assertEqual(result.status, status, result)
        self.assertEqual(termios.tcgetattr(self.terminal), self.before, "terminal not restored")
        return result

    def is_raw(self):
        return not termios.tcgetattr(self.terminal)[3] & (termios.ICANON | termios.ECHO)

    def test_keys_reach_the_guest(self):
        process = self.start_on_terminal("echo")
        self.expect(b"echo\n")
        self.assertTrue(self.is_raw())
        self.type(b"\x03\x1a\x04abc")  # the guest's, not the terminal's
        self.expect(b"\x03\x1a\x04abc")
        self.type(b"q")
        self.expect(b"bye\n")
        self.finish_on_terminal(process, guest.POWER_OFF)

    def test_escape_quits(self):
        process = self.start_on_terminal("spin")
        self.expect(b"spinning\n")
        self.type(b"\x01x")
        result = self.finish_on_terminal(process, guest.SIGNAL + signal.SIGINT)
        self.assertEqual(result.err, "")

    def test_escape_helps_and_escapes_itself(self):
        process = self.start_on_terminal("echo")
        self.expect(b"echo\n")
        self.type(b"\x01h")
        self.read_until(process.stderr, b"Ctrl-a x")
        self.type(b"\x01\x01+")
        self.expect(b"\x01+")
        self.type(b"\x01?")
        self.read_until(process.stderr, b"Ctrl-a x")
        self.type(b"q")
        self.expect(b"bye\n")
        self.finish_on_terminal(process, guest.POWER_OFF)

    def test_escape_works_when_the_guest_does_not_read(self):
        process = self.start_on_terminal("spin")
        self.expect(b"spinning\n")
        for _ in range(100):
            self.type(b"x" * 1000)
            self.wait_for(lambda: self.waiting() == 0)  # a full terminal would drop keys
        self.type(b"\x01x")
        self.finish_on_terminal(process, guest.SIGNAL + signal.SIGINT)

    def waiting(self):
        count = fcntl.ioctl(self.terminal, termios.FIONREAD, b"\0" * 4)
        return int.from_bytes(count, "little")

    def test_restored_after_a_signal(self):
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2, signal.SIGALRM):
            with self.subTest(number):
                process = self.start_on_terminal("spin")
                self.expect(b"spinning\n")
                process.send_signal(number)
                self.finish_on_terminal(process, guest.SIGNAL + number)

    def test_restored_after_a_crash_of_the_guest(self):
        process = self.start_on_terminal("triple-fault")
        result = self.finish_on_terminal(process, guest.TRIPLE_FAULT)
        self.assertIn("code at rip", result.err)

    def test_restored_while_stopped(self):
        process = self.start_on_terminal("echo")
        self.expect(b"echo\n")
        process.send_signal(signal.SIGTSTP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        self.assertEqual(termios.tcgetattr(self.terminal), self.before)
        process.send_signal(signal.SIGCONT)
        self.wait_for(self.is_raw)
        self.type(b"zq")
        self.assertIn(b"z", self.expect(b"bye\n"))
        self.finish_on_terminal(process, guest.POWER_OFF)

    def test_raw_again_after_a_shell_had_the_terminal(self):
        """Nobody can be told of SIGSTOP; the shell then sets the terminal as it likes it."""
        process = self.start_on_terminal("echo")
        self.expect(b"echo\n")
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        self.assertTrue(self.is_raw())
        termios.tcsetattr(self.terminal, termios.TCSANOW, self.before)
        process.send_signal(signal.SIGCONT)
        self.wait_for(self.is_raw)
        self.type(b"zq")
        self.assertIn(b"z", self.expect(b"bye\n"))
        self.finish_on_terminal(process, guest.POWER_OFF)

    def test_hang_up_ends_the_machine(self):
        keyboard, terminal = pty.openpty()
        process = self.start_payload("ends", "spin", stdin=terminal,
                                     preexec_fn=self.take_terminal)
        os.close(terminal)
        self.read_until(process.stdout, b"spinning\n")
        os.close(keyboard)
        self.assertIn(self.finish(process).status,
                      (guest.SIGNAL + signal.SIGHUP, guest.SIGNAL + signal.SIGINT))

    def test_bad_input_leaves_the_terminal_alone(self):
        process = self.start("run", "/does/not/exist", stdin=self.terminal,
                             preexec_fn=self.take_terminal)
        self.assert_one_line(self.finish_on_terminal(process, guest.USAGE), guest.USAGE)


if __name__ == "__main__":
    guest.main()
