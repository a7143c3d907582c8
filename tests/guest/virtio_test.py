# SPDX-License-Identifier: Apache-2.0
"""virtio-mmio as a guest sees it: a disk that keeps what is written, and drivers that cheat."""
import json
import os
import signal
import unittest

import guest

SECTOR = 512
SIZE = 1 << 20
WRITTEN = range(8 * SECTOR, 72 * SECTOR)  # as in payload/disk.c
ZEROED = range(16 * SECTOR, 24 * SECTOR)
DISCARDED = range(32 * SECTOR, 40 * SECTOR)
REQUESTS, REFUSED = 9, 2

# All that a machine of 256 MiB may hold, its guest's few pages included. A release build takes
# some 2.3 MiB; the sanitizers' shadow is many times that.
RESIDENT_MIB = 16
SANITIZED_RESIDENT_MIB = 160


class Disk(guest.GuestTest):
    def expected(self):
        content = bytearray(SIZE)
        for at in WRITTEN[::8]:
            content[at:at + 8] = at.to_bytes(8, "little")
        for cleared in (ZEROED, DISCARDED):
            content[cleared.start:cleared.stop] = bytes(len(cleared))
        return bytes(content)

    def test_requests(self):
        disk = self.write("disk", bytes(SIZE))
        result = self.run_payload("disk", "x", "--disk", f"{disk},serial=SERIAL-1")
        self.assertEqual((result.status, result.err), (guest.POWER_OFF, ""), result)
        self.assertNotIn("FAILED", result.out)
        self.assertIn("ok again\n", result.out)
        self.assertIn(f"capacity={SIZE // SECTOR:#x}\n", result.out)
        self.assertIn("id=SERIAL-1\n", result.out)
        with open(disk, "rb") as file:
            self.assertEqual(file.read(), self.expected())

    def test_iothreads(self):
        """The same by a queue that is not on the machine's own loop."""
        disk = self.write("disk", bytes(SIZE))
        result = self.run_payload("disk", "x", "--disk", disk, "--iothreads", "2")
        self.assertEqual((result.status, result.err), (guest.POWER_OFF, ""), result)
        self.assertIn("ok again\n", result.out)
        with open(disk, "rb") as file:
            self.assertEqual(file.read(), self.expected())

    def test_packed_rings(self):
        disk = self.write("disk", bytes(SIZE))
        result = self.run_payload("disk", "packed", "--disk", disk, "--rings", "packed")
        self.assertEqual((result.status, result.err), (guest.POWER_OFF, ""), result)
        self.assertNotIn("FAILED", result.out)
        self.assertIn("ok again\n", result.out)
        with open(disk, "rb") as file:
            self.assertEqual(file.read(), self.expected())

    def test_rings_are_the_drivers_choice(self):
        """A driver of split rings on a machine that offers packed ones, and the other way round."""
        disk = self.write("disk", bytes(SIZE))
        result = self.run_payload("disk", "x", "--disk", disk, "--rings", "packed")
        self.assertNotIn("FAILED", result.out)
        result = self.run_payload("disk", "packed", "--disk", disk, "--rings", "split")
        self.assertIn("FAILED start\n", result.out)

    def test_each_feature_refused_in_turn(self):
        disk = self.write("disk", bytes(SIZE))
        for word, rings in (("split", "split"), ("split", "packed"), ("packed", "packed")):
            with self.subTest(driver=word, offered=rings):
                result = self.run_payload("features", word, "--disk", disk, "--rings", rings)
                self.assertEqual((result.status, result.err), (guest.POWER_OFF, ""), result)
                self.assertNotIn("FAILED", result.out)
                found = dict(line.split("=") for line in result.out.splitlines() if "=" in line)
                features, refused = int(found["offered"], 16), int(found["refused"], 16)
                self.assertEqual(refused, features.bit_count())
                self.assertEqual(result.out.count("ok works\n"), refused + 2)

    def test_stats(self):
        disk = self.write("disk", bytes(SIZE))
        stats = self.path("stats.json")
        result = self.run_payload("disk", "x", "--disk", disk, "--stats", stats)
        self.assertEqual((result.status, result.err), (guest.POWER_OFF, ""), result)
        with open(stats, encoding="utf-8") as file:
            counted = json.load(file)
        self.assertGreaterEqual(counted["vcpus"][0]["pio"], len(result.out))
        self.assertGreater(counted["vcpus"][0]["mmio"], 0)
        blk, rng = counted["devices"]
        self.assertEqual((blk["device"], rng["device"]), ("blk", "rng"))
        queue = blk["queues"][0]
        self.assertEqual(queue["chains"], REQUESTS)
        self.assertEqual(queue["errors"], REFUSED)
        self.assertGreaterEqual(queue["bytes"], 2 * len(WRITTEN))
        self.assertEqual(rng["queues"][0]["chains"], 0)

    def test_stats_that_cannot_be_written(self):
        disk = self.write("disk", bytes(SIZE))
        result = self.run_payload("disk", "x", "--disk", disk, "--stats", self.path("no/folder"))
        self.assert_one_line(result, guest.FAILURE, "no/folder")

    def test_read_only(self):
        disk = self.write("disk", bytes(range(256)) * (SIZE // 256))
        result = self.run_payload("disk", "read-only", "--disk", f"{disk},ro")
        self.assertEqual(result.status, guest.POWER_OFF, result)
        self.assertNotIn("FAILED", result.out)
        self.assertIn("ok refused\n", result.out)
        with open(disk, "rb") as file:
            self.assertEqual(file.read(), bytes(range(256)) * (SIZE // 256))

    @unittest.skipUnless(os.geteuid() == 0, "must be root to mount")
    def test_full_file_system(self):
        """The guest gets its error, and whoever watches husk gets the reason."""
        result = self.husk_where(f"""mount -t tmpfs -o size=16k none {self.folder}
truncate -s {SIZE} {self.folder}/disk""", "run", guest.payload("disk"), "--cmdline", "x",
                                 "--disk", f"{self.folder}/disk")
        self.assert_one_line(result, guest.POWER_OFF, "disk", "No space left")
        self.assertIn("FAILED write\n", result.out)
        self.assertIn("ok beyond the end\n", result.out)


class Abuse(guest.GuestTest):
    def resident_mib(self, pid):
        with open(f"/proc/{pid}/status", encoding="ascii") as status:
            peak = next(line for line in status if line.startswith("VmHWM:"))
        return int(peak.split()[1]) / 1024

    def survive(self, *more):
        content = bytes(range(256)) * (SIZE // 256)
        disk = self.write("disk", content)
        process = self.start_payload("abuse", "stay packed" if more else "stay", "--disk", disk,
                                     *more)
        report = self.read_until(process.stdout, b"done\n").decode()
        peak = self.resident_mib(process.pid)
        process.send_signal(signal.SIGTERM)
        result = self.finish(process)
        self.assertEqual(result.status, guest.SIGNAL + signal.SIGTERM, result)
        self.assertNotIn("FAILED", report)
        self.assertEqual(report.count("device="), 2, report)
        self.assertLess(peak, SANITIZED_RESIDENT_MIB if guest.SANITIZED else RESIDENT_MIB)
        # Each of the two devices is broken many times, and says so once.
        self.assertEqual(len(result.err.splitlines()), 2, result.err)
        with open(disk, "rb") as file:
            self.assertEqual(file.read(), content, "an abuse reached the disk")

    def test_split_rings(self):
        self.survive()

    def test_packed_rings(self):
        self.survive("--rings", "packed")


if __name__ == "__main__":
    guest.main()
