# SPDX-License-Identifier: Apache-2.0
"""How machines end, and the status that husk then exits with."""
import signal
import subprocess
import time

import guest

PROMPT = 5  # seconds within which a signal must end a machine; it takes some milliseconds


class GuestEnds(guest.GuestTest):
    def test_power_off(self):
        result = self.run_payload("ends", "hello")
        self.assertEqual((result.status, result.out, result.err), (guest.POWER_OFF, "hello\n", ""))

    def test_reset_by_acpi(self):
        self.assertEqual(self.run_payload("ends", "reset-port").status, guest.RESET)

    def test_reset_by_i8042(self):
        self.assertEqual(self.run_payload("ends", "reset-i8042").status, guest.RESET)

    def test_panic(self):
        self.assert_one_line(self.run_payload("ends", "panic"), guest.PANIC, "panicked")

    def test_triple_fault(self):
        result = self.run_payload("ends", "triple-fault")
        self.assertEqual(result.status, guest.TRIPLE_FAULT, result)
        # Where AMD-V is under KVM, the registers are those of a reset by now.
        self.assertIn("code at rip:", result.err)

    def test_instruction_that_kvm_cannot_run(self):
        result = self.run_payload("ends", "run-a-device")
        self.assertEqual(result.status, guest.FAILURE, result)
        self.assertIn("rip 00000000d0000800", result.err)
        self.assertIn("code at rip:", result.err)
        self.assertIn("husk doctor", result.err.splitlines()[-1])

    def test_all_processors_end(self):
        self.assertEqual(self.run_payload("ends", "panic", "--cpus", 8).status, guest.PANIC)


class HostEnds(guest.GuestTest):
    def end_by(self, number, process, status=None):
        begun = time.monotonic()
        process.send_signal(number)
        result = self.finish(process)
        self.assertLess(time.monotonic() - begun, PROMPT)
        self.assertEqual(result.status, status or guest.SIGNAL + number, result)
        self.assertEqual(result.err, "")

    def spinning(self, word, expected, *options):
        process = self.start_payload("ends", word, *options)
        self.read_until(process.stdout, expected)
        return process

    def test_signals_end_a_guest_that_spins(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
            with self.subTest(number):
                self.end_by(number, self.spinning("spin", b"spinning\n"))

    def test_signal_ends_a_guest_that_halted_for_good(self):
        self.end_by(signal.SIGTERM, self.spinning("halt", b"halted\n"))

    def test_signal_ends_processors_that_never_started(self):
        self.end_by(signal.SIGTERM, self.spinning("spin", b"spinning\n", "--cpus", 16))

    def test_signal_ends_a_guest_that_writes_to_a_full_pipe(self):
        process = self.start_payload("ends", "flood")
        self.read_until(process.stdout, b"fox")
        self.wait_until_idle(process)
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.wait(PROMPT)  # without reading what is in the pipe
        self.assertLess(time.monotonic() - begun, PROMPT)
        self.assertEqual(process.returncode, guest.SIGNAL + signal.SIGTERM)
        self.assertEqual(self.finish(process).err, "")

    def wait_until_idle(self, process):
        """The pipe is full once no time is spent any more: two looks that see the same."""
        def spent():
            with open(f"/proc/{process.pid}/stat", encoding="ascii") as stat:
                return stat.read().rpartition(")")[2].split()[11:13]
        last = None
        while last != (last := spent()):
            time.sleep(0.2)

    def test_grace_lets_the_guest_power_off(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(number):
                process = self.start_payload("ends", "button", "--stop-grace", "600")
                self.read_until(process.stdout, b"listening\n")
                process.send_signal(number)
                result = self.finish(process)
                self.assertEqual((result.status, result.err), (guest.POWER_OFF, ""))

    def test_grace_is_over(self):
        process = self.spinning("spin", b"spinning\n", "--stop-grace", "1")
        begun = time.monotonic()
        self.end_by(signal.SIGTERM, process)
        self.assertGreaterEqual(time.monotonic() - begun, 1)

    def test_who_asks_twice_does_not_wait(self):
        process = self.spinning("spin", b"spinning\n", "--stop-grace", "600")
        process.send_signal(signal.SIGTERM)
        # One at a time: of two that wait the kernel hands over the lower number first.
        self.wait_for(lambda: not self.pending(process))
        self.end_by(signal.SIGINT, process)

    def test_other_signals_give_no_grace(self):
        for number in (signal.SIGHUP, signal.SIGQUIT):
            with self.subTest(number):
                self.end_by(number, self.spinning("spin", b"spinning\n", "--stop-grace", "600"))

    def pending(self, process):
        """The signals that are sent to it and that it has not taken, as bits."""
        with open(f"/proc/{process.pid}/status", encoding="ascii") as status:
            return int(status.read().partition("ShdPnd:")[2].split()[0], 16)

    def test_signal_while_starting(self):
        for delay in range(0, 12):
            process = self.start_payload("ends", "spin", stdout=subprocess.DEVNULL)
            time.sleep(delay / 1000)
            process.terminate()
            process.wait(PROMPT)
            # Before main() blocks signals it dies of SIGTERM, as any program would.
            self.assertIn(process.returncode, (guest.SIGNAL + signal.SIGTERM, -signal.SIGTERM))
            self.assertEqual(guest.session_members(process.pid), [])


if __name__ == "__main__":
    guest.main()
