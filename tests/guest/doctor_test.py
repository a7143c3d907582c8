# SPDX-License-Identifier: Apache-2.0
"""husk doctor on this host's KVM, whichever it is: bare machines work wherever these tests run."""
import json

import guest

MACHINE = "a bare machine"
KERNEL = "unmodified 64-bit kernels"


class Doctor(guest.GuestTest):
    def findings(self):
        result = self.husk("doctor", "--json")
        self.assertEqual(result.err, "")
        findings = json.loads(result.out)
        return result.status, findings["verdict"], findings["checks"]

    def test_bare_machine_works(self):
        _, _, checks = self.findings()
        self.assertEqual([check for check in checks
                          if check["group"] in ("KVM", MACHINE) and check["result"] != "yes"], [])
        self.assertEqual(sum(check["group"] == MACHINE for check in checks), 6)

    def test_verdict_follows_the_checks(self):
        status, verdict, checks = self.findings()
        refused = [check for check in checks if check["result"] == "no"]
        self.assertGreater(sum(check["group"] == KERNEL for check in checks), 20)
        self.assertEqual((status, verdict),
                         (guest.HOST, "no-linux") if refused else (guest.POWER_OFF, "linux"))
        for check in refused:
            self.assertEqual(check["group"], KERNEL)
            self.assertTrue(check["detail"] and check["advice"], check)

    def test_text_says_the_same(self):
        status, _, checks = self.findings()
        result = self.husk("doctor")
        self.assertEqual((result.status, result.err), (status, ""))
        for check in checks:
            self.assertIn(f"  {check['result']:<8}  {check['name']}", result.out)
        self.assertIn("\nno: " if status else "\nyes: ", result.out)

    def test_full_disk(self):
        with open("/dev/full", "wb") as full:
            result = self.husk("doctor", stdout=full)
        self.assert_one_line(result, guest.FAILURE, "No space left")


if __name__ == "__main__":
    guest.main()
