# SPDX-License-Identifier: Apache-2.0
"""Hosts that cannot: something else at /dev/kvm in a mount namespace, or a KVM that misbehaves."""
import json
import os
import unittest

import guest

FAKE_KVM = os.environ.get("HUSK_FAKE_KVM")


@unittest.skipUnless(os.geteuid() == 0, "must be root to make a mount namespace")
class Host(guest.GuestTest):
    def cannot(self, script, check, *words):
        """`husk run` gives its one line; `husk doctor` ends with a 'no' at `check`."""
        result = self.husk_where(script, "run", guest.payload("ends"))
        self.assert_one_line(result, guest.HOST, "/dev/kvm", *words)
        result = self.husk_where(script, "doctor", "--json")
        self.assertEqual(result.status, guest.HOST, result)
        findings = json.loads(result.out)
        last = findings["checks"][-1]
        self.assertEqual(findings["verdict"], "no-kvm")
        self.assertEqual((last["name"], last["result"]), (check, "no"), last)
        self.assertTrue(last["advice"] or "KVM device" in last["detail"], last)

    def test_no_device(self):
        self.cannot("mount -t tmpfs none /dev", "/dev/kvm", "does not exist", "kvm_intel")

    def test_no_permission(self):
        """root without its powers is as anybody is."""
        script = f"""chmod 755 {self.folder}
cp {guest.payload("ends")} {guest.HUSK} {self.folder}
touch {self.folder}/kvm
mount --bind {self.folder}/kvm /dev/kvm
chmod 0 /dev/kvm
program={self.folder}/husk
shift
set -- setpriv --reuid 65534 --regid 65534 --clear-groups "$program" "$@"
"""
        self.cannot(script, "permission to use /dev/kvm", "permission denied", "group kvm")

    def test_not_kvm(self):
        self.cannot("mount --bind /dev/null /dev/kvm", "/dev/kvm", "not a KVM device")

    def test_plain_file(self):
        path = self.write("kvm", b"")
        self.cannot(f"mount --bind {path} /dev/kvm", "/dev/kvm", "not a KVM device")


@unittest.skipUnless(FAKE_KVM, "HUSK_FAKE_KVM is not set; a sanitizer's build preloads nothing")
class FakeKvm(guest.GuestTest):
    """KVM's own ways to fail, which no host shows on demand; see fake_kvm.c."""

    def run_with(self, fake, *options):
        environment = dict(os.environ, LD_PRELOAD=FAKE_KVM, FAKE_KVM=fake)
        return self.run_payload("ends", "hello", *options, env=environment)

    def doctor_with(self, fake):
        environment = dict(os.environ, LD_PRELOAD=FAKE_KVM, FAKE_KVM=fake)
        result = self.husk("doctor", "--json", env=environment)
        self.assertEqual(result.status, guest.HOST, result)
        return {check["name"]: check for check in json.loads(result.out)["checks"]}

    def test_another_api_version(self):
        self.assert_one_line(self.run_with("version"), guest.HOST, "/dev/kvm", "API version 11")
        check = self.doctor_with("version")["KVM API version 12"]
        self.assertEqual(check["result"], "no")
        self.assertTrue(check["advice"])

    def test_missing_capability(self):
        self.assert_one_line(self.run_with("no-irqfd"), guest.HOST, "KVM_CAP_IRQFD", "newer kernel")
        checks = self.doctor_with("no-irqfd")
        self.assertEqual(checks["KVM_CAP_IRQFD"]["result"], "no")
        self.assertNotIn("64-bit mode", checks)

    def test_more_vcpus_than_kvm_gives(self):
        self.assert_one_line(self.run_with("one-vcpu", "--cpus", "2"), guest.HOST,
                             "2 vCPUs are more than the 1", "lower --cpus")

    def test_interrupted_creation(self):
        self.assertEqual(self.run_with("interrupted").status, guest.POWER_OFF)

    def test_processor_refuses_state(self):
        result = self.run_with("fail-entry")
        self.assertEqual(result.status, guest.FAILURE, result)
        self.assertIn("code at rip: bc", result.err)
        self.assertIn("0x80000021", result.err.splitlines()[-1])

    def test_run_fails(self):
        result = self.run_with("run-error")
        self.assertEqual(result.status, guest.FAILURE, result)
        self.assertIn("KVM cannot run vCPU 0: Bad address", result.err.splitlines()[-1])

    def test_instruction_that_kvm_does_not_decode(self):
        result = self.run_with("undecoded")
        self.assertEqual(result.status, guest.FAILURE, result)
        self.assertIn("cannot run an instruction of the guest", result.err.splitlines()[-1])

    def test_exit_that_nobody_knows(self):
        result = self.run_with("unknown-exit")
        self.assertEqual(result.status, guest.FAILURE, result)
        self.assertIn("9999", result.err.splitlines()[-1])

    def test_doctor_names_what_the_machine_cannot(self):
        check = self.doctor_with("run-error")["64-bit mode"]
        self.assertEqual(check["result"], "no")
        self.assertIn("Bad address", check["detail"])
        self.assertTrue(check["advice"])

if __name__ == "__main__":
    guest.main()
