# SPDX-License-Identifier: Apache-2.0
"""Devices on PCI as a guest sees them, and what its requests cost the host."""
import json
import signal

import guest

SIZE = 1 << 20
REQUESTS = 4000  # as in payload/pci.c; everything else in it takes some 1200 exits


class Pci(guest.GuestTest):
    def test_disk(self):
        """Messages, masks, moves of the BAR; and requests that cause no exit."""
        disk, stats = self.write("disk", bytes(SIZE)), self.path("stats")
        result = self.run_payload("pci", "x", "--bus", "pci", "--disk", disk, "--stats", stats)
        self.assertEqual((result.status, result.err), (guest.POWER_OFF, ""), result)
        self.assertNotIn("FAILED", result.out)
        self.assertIn("size=0x4000\n", result.out)
        self.assertIn("ok after abuse\n", result.out)
        with open(stats, encoding="ascii") as file:
            counted = json.load(file)
        self.assertGreater(counted["devices"][0]["queues"][0]["interrupts"], REQUESTS)
        self.assertLess(counted["vcpus"][0]["mmio"], REQUESTS)

    def test_requests(self):
        """The payloads for virtio-mmio, on PCI."""
        for word, *options in (("x",), ("packed", "--rings", "packed")):
            with self.subTest(word):
                disk = self.write("disk", bytes(SIZE))
                result = self.run_payload("disk", word, "--bus", "pci", "--disk", disk, *options)
                self.assertEqual((result.status, result.err), (guest.POWER_OFF, ""), result)
                self.assertNotIn("FAILED", result.out)
                self.assertIn("ok again\n", result.out)

    def test_devices_survive(self):
        content = bytes(range(256)) * (SIZE // 256)
        disk = self.write("disk", content)
        process = self.start_payload("abuse", "stay", "--bus", "pci", "--disk", disk)
        report = self.read_until(process.stdout, b"done\n").decode()
        process.send_signal(signal.SIGTERM)
        result = self.finish(process)
        self.assertEqual(result.status, guest.SIGNAL + signal.SIGTERM, result)
        self.assertNotIn("FAILED", report)
        self.assertEqual(report.count("device="), 2, report)
        self.assertEqual(len(result.err.splitlines()), 2, result.err)
        with open(disk, "rb") as file:
            self.assertEqual(file.read(), content, "an abuse reached the disk")


if __name__ == "__main__":
    guest.main()
