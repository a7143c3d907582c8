# SPDX-License-Identifier: Apache-2.0
"""What a guest finds: its memory, all of it from the first instruction on; its processors; ports."""
import os
import re
import unittest

import guest

MIB = 1 << 20
GIB = 1 << 30
HOLE = 3 * GIB
LOW_RAM_END = 0x9fc00
RAM = 1
WAYS = ("touch-read", "touch-write", "touch-add", "touch-xadd", "touch-string", "touch-stack",
        "touch-code")


def host_memory():
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


class Memory(guest.GuestTest):
    def report(self, name, word, size, *options):
        result = self.run_payload(name, word, "--memory", size, *options)
        self.assertEqual(result.status, guest.POWER_OFF, result)
        self.assertNotIn("FAILED", result.out)
        self.assertIn("ok last page\n", result.out)
        return result.out

    def ram(self, report):
        ranges = [tuple(int(number, 16) for number in line.split()[1:])
                  for line in report.splitlines() if line.startswith("map ")]
        for (base, size, _), (following, _, _) in zip(ranges, ranges[1:]):
            self.assertLessEqual(base + size, following, "ranges overlap or are not in order")
        return [(base, size) for base, size, kind in ranges if kind == RAM]

    def expected_ram(self, size):
        low = [(0, LOW_RAM_END), (MIB, min(size, HOLE) - MIB)]
        return low + ([(4 * GIB, size - HOLE)] if size > HOLE else [])

    def check_sizes(self, name, protocol):
        for size in (32 * MIB, 256 * MIB, HOLE, HOLE + 4096, 6 * GIB):
            if size > host_memory():
                print(f"({size >> 20} MiB are more than this host has)")
                continue
            with self.subTest(size):
                report = self.report(name, "touch-write", size)
                self.assertIn(f"protocol={protocol}\n", report)
                self.assertEqual(self.ram(report), self.expected_ram(size))
                self.assertEqual(report.count("ok ends of range"), len(self.ram(report)))
                self.assertIn("ok rsdp", report)

    def test_zero_page(self):
        self.check_sizes("memory", "linux64")

    def test_pvh(self):
        self.check_sizes("memory-pvh", "pvh")

    @unittest.skipIf(host_memory() < 6 * GIB, "the host has less than 6 GiB")
    def test_memory_that_is_mapped_late(self):
        for way in WAYS:
            for size in (2 * GIB, 6 * GIB):
                with self.subTest(way=way, size=size):
                    self.report("memory", way, size)

    def test_command_line(self):
        line = "a=b touch-write " + "x" * 2000
        for name in ("memory", "memory-pvh"):
            self.assertIn(f"command line={line}\n", self.report(name, line, "32M"))

    def test_append_follows_the_defaults(self):
        result = self.husk("run", guest.payload("memory"), "--append", "touch-write last=1")
        self.assertRegex(result.out, r"command line=console=ttyS0 .* touch-write last=1\n")

    def test_initrd(self):
        initrd = self.write("initrd", b"\x78\x56\x34\x12" + bytes(9999))
        for name in ("memory", "memory-pvh"):
            report = self.report(name, "touch-write", "64M", "--initrd", initrd)
            self.assertIn(f"initrd size={10003:#x}\n", report)
            self.assertIn("initrd first=0x12345678\n", report)


class Processors(guest.GuestTest):
    def processors(self, count):
        result = self.run_payload("cpus", f"processors={count:#x}", "--cpus", count)
        self.assertEqual(result.status, guest.POWER_OFF, result)
        return [{key: int(value, 16) for key, value in re.findall(r"(\w+)=(0x\w+)", line)}
                for line in result.out.splitlines()]

    def test_each_starts_and_knows_its_place(self):
        for count in (1, 2, 3, 4, 64):
            with self.subTest(count):
                bits = (count - 1).bit_length()
                seen = self.processors(count)
                self.assertEqual(sorted(one["apic"] for one in seen), list(range(count)))
                for one in seen:
                    self.assertEqual(one["initial"], one["apic"])
                    self.assertEqual(one["x2apic"], one["apic"])
                    self.assertEqual(one["logical"], 1 << bits)
                    self.assertEqual((one["threads"], one["cores"], one["shift"]),
                                     (1, count, bits))


class Ports(guest.GuestTest):
    def test_every_port_in_every_width(self):
        result = self.husk("run", guest.payload("ports"))
        self.assertEqual(result.status, guest.POWER_OFF, result)
        self.assertTrue(result.out.endswith("still here\n"), result)
        self.assertEqual(result.err, "")


if __name__ == "__main__":
    guest.main()
