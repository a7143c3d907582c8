# SPDX-License-Identifier: Apache-2.0
"""Disks as a guest and its owner see them: engines, caches, sizes that change, a VMM that dies."""
import json
import os
import random
import re
import signal
import time
import unittest

import guest

SECTOR = 512
SIZE = 1 << 20
ENGINES, CACHES = ("io_uring", "sync"), ("writeback", "none", "unsafe")
KILLS = 4  # for each engine and cache

# As in payload/durable.c
SECTORS = 64


class Disk(guest.GuestTest):
    def image(self, size=SIZE):
        return self.write("disk", bytes(size))

    def test_every_engine_and_cache(self):
        for engine in ENGINES:
            for cache in CACHES:
                with self.subTest(f"{engine}, {cache}"):
                    result = self.run_payload(
                        "disk", "x", "--disk", f"{self.image()},engine={engine},cache={cache}")
                    self.assertEqual(result.status, guest.POWER_OFF, result)
                    self.assertNotIn("FAILED", result.out)
                    self.assertIn("ok again\n", result.out)
                    self.assertEqual("cache=unsafe" in result.err, cache == "unsafe", result)

    def test_several_queues(self):
        stats = self.path("stats")
        result = self.run_payload("disk", "x", "--disk", f"{self.image()},queues=3", "--iothreads",
                                  "2", "--stats", stats)
        self.assertEqual((result.status, result.err), (guest.POWER_OFF, ""), result)
        self.assertIn("ok again\n", result.out)
        with open(stats, encoding="utf-8") as file:
            queues = json.load(file)["devices"][0]["queues"]
        self.assertEqual(len(queues), 3)
        self.assertGreater(queues[0]["reads"], 0)
        self.assertGreater(queues[0]["flushes"], 0)
        self.assertGreater(queues[0]["batches"], 0)
        self.assertEqual(queues[1]["reads"], 0)

    def test_size(self):
        """truncate and SIGUSR1: the guest sees the new size, and can write there."""
        image = self.image()
        process = self.start_payload("size", "x", "--disk", image)
        self.read_until(process.stdout, f"capacity={SIZE // SECTOR:#x}\n".encode())
        os.truncate(image, 2 * SIZE)
        process.send_signal(signal.SIGUSR1)
        result = self.finish(process)
        self.assertEqual((result.status, result.err), (guest.POWER_OFF, ""), result)
        self.assertIn(f"ok told\ncapacity={2 * SIZE // SECTOR:#x}\nok beyond the old end\n",
                      result.out)

    def test_size_that_no_disk_has(self):
        """One line, and the guest goes on."""
        image = self.image()
        process = self.start_payload("size", "x", "--disk", image)
        self.read_until(process.stdout, f"capacity={SIZE // SECTOR:#x}\n".encode())
        os.truncate(image, SIZE + 1)
        process.send_signal(signal.SIGUSR1)
        self.assertIn(b"no multiple of 512", self.read_until(process.stderr, b"\n"))
        os.truncate(image, 2 * SIZE)
        process.send_signal(signal.SIGUSR1)
        result = self.finish(process)
        self.assertIn("ok beyond the old end\n", result.out)

    def test_rate(self):
        """Ten requests of which eight must wait for their turn, the first of them for part of it."""
        begun = time.monotonic()
        result = self.run_payload("disk", "x", "--disk", f"{self.image()},iops=20,iops_burst=1")
        self.assertIn("ok again\n", result.out)
        self.assertGreater(time.monotonic() - begun, 7 / 20)

    def test_engine_that_the_host_forbids(self):
        with open("/proc/sys/kernel/io_uring_disabled", encoding="ascii") as file:
            allowed = file.read().strip() != "2"
        result = self.run_payload("disk", "x", "--disk", f"{self.image()},engine=io_uring")
        if allowed:
            self.assertEqual(result.status, guest.POWER_OFF, result)
        else:
            self.assert_one_line(result, guest.HOST, "engine=sync")


class Durability(guest.GuestTest):
    def check_image(self, image, last):
        """Each sector holds its newest number up to `last`, or a newer one."""
        with open(image, "rb") as file:
            content = file.read()
        for number in range(max(1, last - SECTORS + 1), last + 1):
            at = number % SECTORS * SECTOR
            found = int.from_bytes(content[at:at + 8], "little")
            self.assertGreaterEqual(found, number, f"sector {number % SECTORS}")
            self.assertEqual(found % SECTORS, number % SECTORS)
            self.assertEqual(content[at:at + SECTOR], content[at:at + 8] * (SECTOR // 8))

    def kill_at_random(self, options, patience):
        image = self.write("disk", bytes(SECTORS * SECTOR))
        process = self.start_payload("durable", "x", "--disk", f"{image},{options}",
                                     "--console", "serial")
        said = self.read_until(process.stdout, b"durable=0x1\n")
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            said += os.read(process.stdout.fileno(), 65536)
        process.kill()
        said += process.stdout.read()
        process.wait()
        numbers = [int(word, 16) for word in re.findall(rb"durable=0x([0-9a-f]+)\n", said)]
        self.assertEqual(numbers, list(range(1, len(numbers) + 1)))
        self.assertNotIn(b"FAILED", said)
        self.check_image(image, numbers[-1])

    def test_what_was_durable_survives_the_vmm(self):
        chance = random.Random(3)
        for engine in ENGINES:
            for cache in CACHES:
                for _ in range(KILLS):
                    with self.subTest(f"{engine}, {cache}"):
                        self.kill_at_random(f"engine={engine},cache={cache}",
                                            chance.uniform(0.0, 0.2))

    def test_the_image_is_free_at_once(self):
        """After a kill the next machine can have it, whatever io_uring still holds on to."""
        image = self.write("disk", bytes(SIZE))
        for _ in range(10):
            process = self.start_payload("durable", "x", "--disk", image)
            self.read_until(process.stdout, b"durable=0x1\n")
            process.kill()
            process.wait()
            result = self.run_payload("disk", "x", "--disk", image)
            self.assertEqual((result.status, result.err), (guest.POWER_OFF, ""), result)


if __name__ == "__main__":
    guest.main()
