# SPDX-License-Identifier: Apache-2.0
"""Bad input: each gives one line that says what is wrong, the documented status, and no machine."""
import os
import resource
import struct
import unittest

import guest

PT_LOAD = 1
EM_X86_64, EM_AARCH64 = 62, 183


def elf(segments, machine=EM_X86_64, entry=0x100000):
    """An ELF64 executable of (address, content, size in memory)."""
    headers, content = b"", b""
    offset = 64 + 56 * len(segments)
    for address, data, size in segments:
        headers += struct.pack("<IIQQQQQQ", PT_LOAD, 7, offset + len(content), address, address,
                               len(data), size, 4096)
        content += data
    ident = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    return ident + struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, entry, 64, 0, 0, 64, 56,
                               len(segments), 0, 0, 0) + headers + content


def end_of_segments(image):
    """Where in an ELF64 file what is loaded ends; section headers behind it are for debuggers."""
    table, count = struct.unpack_from("<Q", image, 32)[0], struct.unpack_from("<H", image, 56)[0]
    ends = [0]
    for index in range(count):
        kind, _, offset, _, _, size = struct.unpack_from("<IIQQQQ", image, table + 56 * index)
        ends += [offset + size] if kind == PT_LOAD else []
    return max(ends)


class BadInput(guest.GuestTest):
    def setUp(self):
        super().setUp()
        self.kernel = guest.payload("ends")

    def refused(self, *arguments, words=(), status=guest.USAGE, **how):
        result = self.husk("run", *arguments, **how)
        self.assert_one_line(result, status, *words)
        self.assertEqual(result.out, "")

    def refused_kernel(self, content, *words):
        self.refused(self.write("kernel", content), words=("kernel",) + words)


class Kernels(BadInput):
    def test_missing(self):
        self.refused(self.path("none"), words=(self.path("none"), "No such file"))

    def test_directory(self):
        self.refused(self.folder, words=(self.folder, "directory"))

    def test_unreadable_device(self):
        self.refused("/dev/null", words=("/dev/null",))

    def test_fifo(self):
        """One that nobody writes to must not be waited for."""
        os.mkfifo(self.path("fifo"))
        self.refused(self.path("fifo"), words=("kernel", self.path("fifo"), "not a regular file"))

    def test_empty(self):
        self.refused_kernel(b"", "empty")

    def test_text(self):
        self.refused_kernel("#!/bin/sh\nexit 0\n")

    def test_truncated_anywhere(self):
        with open(self.kernel, "rb") as file:
            whole = file.read()
        whole = whole[:end_of_segments(whole)]
        for size in list(range(1, 200, 7)) + list(range(200, len(whole) - 1, 997)):
            with self.subTest(size):
                self.refused_kernel(whole[:size])

    def test_wrong_architecture(self):
        self.refused_kernel(elf([(0x100000, b"\xf4", 1)], machine=EM_AARCH64), "aarch64")

    def test_image_of_another_architecture(self):
        """The header of an arm64 Image as Linux makes it: it is an EFI program, too."""
        header = struct.pack("<2I6Q4sI", 0xfa405a4d, 0x14000000, 0, 1 << 20, 0xa, 0, 0, 0,
                             b"ARM\x64", 64)
        self.refused_kernel(header + bytes(8192), "no kernel for x86_64 but an arm64 Image",
                            "give a bzImage or vmlinux for x86_64")

    def test_segments_overlap(self):
        self.refused_kernel(elf([(0x100000, b"\xf4" * 64, 64), (0x100020, b"\xf4", 8192)]),
                            "overlap")

    def test_segment_outside_memory(self):
        for address in (0, 0x1000, 1 << 40, (1 << 64) - 4096):
            with self.subTest(hex(address)):
                self.refused_kernel(elf([(address, b"\xf4", 1)], entry=address))

    def test_entry_outside_segments(self):
        self.refused_kernel(elf([(0x100000, b"\xf4", 1)], entry=0x200000), "entry")

    def test_too_large_for_memory(self):
        self.refused_kernel(elf([(0x100000, b"\xf4", 1 << 30)]))

    def test_no_kernel_and_no_readable_one_of_the_host(self):
        if os.path.exists(f"/boot/vmlinuz-{os.uname().release}"):
            self.skipTest("this host's kernel is readable")
        self.refused(words=("no kernel given",))


class Images(BadInput):
    def test_initrd(self):
        self.refused(self.kernel, "--initrd", self.path("none"), words=("initrd", "No such file"))
        self.refused(self.kernel, "--initrd", self.folder, words=("initrd", "directory"))

    def test_initrd_fifo(self):
        os.mkfifo(self.path("fifo"))
        self.refused(self.kernel, "--initrd", self.path("fifo"),
                     words=("initrd", self.path("fifo"), "not a regular file"))

    def test_initrd_too_large(self):
        with open(self.path("large"), "wb") as file:
            file.truncate(64 << 20)
        self.refused(self.kernel, "--initrd", self.path("large"), "--memory", "64M",
                     words=("initrd", "--memory"))

    def test_disks(self):
        self.write("odd", bytes(1000))
        cases = (
            (self.path("none"), "does not exist"),
            (self.folder, "directory"),
            (self.path("odd"), "512"),
            (self.path("odd") + ",what", "what"),
            ("", "path"),
        )
        for disk, word in cases:
            with self.subTest(disk):
                self.refused(self.kernel, "--disk", disk, words=("disk", word))

    def test_disk_in_use(self):
        disk = self.write("disk", bytes(1 << 20))
        first = self.start_payload("ends", "halt", "--disk", disk)
        self.read_until(first.stdout, b"halted\n")
        self.refused(self.kernel, "--disk", disk, words=(disk, "use"))
        self.refused(self.kernel, "--disk", f"{disk},ro", words=(disk, "use"))
        first.terminate()
        self.finish(first)
        result = self.run_payload("ends", "hello", "--disk", disk)
        self.assertEqual(result.status, guest.POWER_OFF, result)

    def test_disk_that_only_reads_may_be_shared(self):
        disk = self.write("disk", bytes(1 << 20))
        first = self.start_payload("ends", "halt", "--disk", f"{disk},ro")
        self.read_until(first.stdout, b"halted\n")
        result = self.run_payload("ends", "hello", "--disk", f"{disk},ro")
        self.assertEqual(result.status, guest.POWER_OFF, result)
        first.terminate()
        self.finish(first)

    @unittest.skipUnless(os.geteuid() == 0, "must be root to mount")
    def test_disk_on_a_read_only_file_system(self):
        disk = self.write("disk", bytes(1 << 20))
        result = self.husk_where(f"""mount --bind {self.folder} {self.folder}
mount -o remount,bind,ro {self.folder}""", "run", self.kernel, "--disk", disk)
        self.assert_one_line(result, guest.USAGE, disk, "ro")


class Options(BadInput):
    def test_memory(self):
        for size in ("0", "x", "", "-1", "1M", "31M", "12.5M", "99999999T", "64M5", "33554433"):
            with self.subTest(size):
                self.refused(self.kernel, "--memory", size, words=("memory",))

    def test_more_memory_than_the_host_has(self):
        self.refused(self.kernel, "--memory", "1T", words=("memory", "host"))

    def test_iothreads(self):
        for count in ("-1", "17", "x", ""):
            with self.subTest(count):
                self.refused(self.kernel, "--iothreads", count, words=("iothreads",))

    def test_rings(self):
        for rings in ("", "split,packed", "Packed"):
            with self.subTest(rings):
                self.refused(self.kernel, "--rings", rings, words=("rings", "split or packed"))

    def test_balloon(self):
        for word in ("", "yes", "64M"):
            with self.subTest(word):
                self.refused(self.kernel, f"--balloon={word}", words=("--balloon", "on or off"))

    def test_cpus(self):
        for count in ("0", "65", "10000", "x", "", "-1", "1.5", "99999999999999999999"):
            with self.subTest(count):
                self.refused(self.kernel, "--cpus", count, words=("cpus",))

    def test_command_line_too_long(self):
        for length in (2048, 100000):
            with self.subTest(length):
                self.refused(self.kernel, "--append", "x" * length, words=("command line",))
                self.refused(self.kernel, "--cmdline", "x" * length, words=("command line",))

    def test_command_line_and_append(self):
        self.refused(self.kernel, "--append", "a", "--cmdline", "b", words=("append",))

    def test_bus(self):
        self.refused(self.kernel, "--bus", "isa", words=("bus",))

    def test_console(self):
        self.refused(self.kernel, "--console", "paper", words=("console",))

    def test_too_many_arguments(self):
        self.refused(self.kernel, "another", words=("another",))

    def test_unknown_option_and_command(self):
        for arguments in (("run", "--what"), ("run", "--memory"), ("what",), ("doctor", "--what"),
                          ("doctor", "what"), ()):
            with self.subTest(arguments):
                result = self.husk(*arguments)
                self.assertEqual((result.status, result.out), (guest.USAGE, ""), result)
                self.assertIn("elp", result.err)


class Json(BadInput):
    def refused_json(self, text, *words):
        self.refused("--config", self.write("m.json", text), words=(self.path("m.json"),) + words)

    def test_malformed(self):
        for text in ("", "{", "[]", "null", '{"kernel": }', '{"kernel": "a"} x', "\0", "\xff",
                     "[" * 100000):
            with self.subTest(text[:20]):
                self.refused_json(text)

    def test_unknown_key(self):
        self.refused_json('{"kernel": "a", "kernal": "b"}', "kernal")

    def test_duplicate_key(self):
        self.refused_json('{"cpus": 1, "cpus": 2}', "cpus")

    def test_wrong_types(self):
        for text, key in (('{"kernel": 1}', "kernel"), ('{"cpus": "two"}', "cpus"),
                          ('{"cpus": 1.5}', "cpus"), ('{"memory": []}', "memory"),
                          ('{"disks": {}}', "disks"), ('{"disks": [1]}', "disks[0]"),
                          ('{"disks": [{"path": 1}]}', "disks[0].path"),
                          ('{"console": "paper"}', "console"), ('{"bus": "isa"}', "bus"),
                          ('{"cpus": -1}', "cpus")):
            with self.subTest(text):
                self.refused_json(text, key)

    def test_missing_file(self):
        self.refused("--config", self.path("none"), words=(self.path("none"), "No such file"))

    def test_directory(self):
        self.refused("--config", self.folder, words=(self.folder, "irectory"))

    def test_endless_file(self):
        self.refused("--config", "/dev/zero", words=("/dev/zero",))


class Limits(BadInput):
    """`ulimit -n`: whatever was to be opened next, it is the host that cannot."""

    def run_with_descriptors(self, count):
        limit = (count, count)
        return self.run_payload("ends", "hello", preexec_fn=lambda: resource.setrlimit(
            resource.RLIMIT_NOFILE, limit))

    def test_too_few_descriptors(self):
        self.assert_one_line(self.run_with_descriptors(12), guest.HOST, "Too many open files")

    def test_any_step_of_construction(self):
        for count in range(6, 40):
            result = self.run_with_descriptors(count)
            if result.status == guest.POWER_OFF:
                return
            with self.subTest(count):
                self.assert_one_line(result, guest.HOST, "Too many open files")
        self.fail("40 descriptors are not enough")


class Timing(BadInput):
    def test_file_that_cannot_be_written(self):
        result = self.run_payload("ends", "hello", f"--timing={self.path('none/t.json')}")
        self.assertEqual(result.status, guest.FAILURE, result)
        self.assertIn(self.path("none/t.json"), result.err)


if __name__ == "__main__":
    guest.main()
