# SPDX-License-Identifier: Apache-2.0
"""Memory that a guest reports free, before and after it has a memslot."""
import json

import guest

PIECE = 2 << 20  # as in payload/balloon.c
REPORTS = 4


class Balloon(guest.GuestTest):
    def reports(self, *options):
        stats = self.path("stats")
        result = self.run_payload("balloon", "x", "--balloon", "--stats", stats, *options)
        self.assertEqual((result.status, result.err), (guest.POWER_OFF, ""), result)
        self.assertNotIn("FAILED", result.out)
        self.assertIn("ok used again\n", result.out)
        with open(stats, encoding="ascii") as file:
            devices = json.load(file)["devices"]
        queue = next(d for d in devices if d["device"] == "balloon")["queues"][REPORTS]
        self.assertEqual((queue["chains"], queue["discards"], queue["refused"]), (2, 2, 0))
        self.assertEqual(queue["discarded_bytes"], 2 * PIECE)

    def test_mmio(self):
        self.reports()

    def test_pci(self):
        self.reports("--bus", "pci")

    def test_no_balloon_unless_asked_for(self):
        for options in ((), ("--balloon", "--balloon=off")):
            with self.subTest(options):
                result = self.run_payload("balloon", "x", *options)
                self.assertIn("FAILED start\n", result.out)


if __name__ == "__main__":
    guest.main()
