# SPDX-License-Identifier: Apache-2.0
"""Hosts that cannot: made by putting something else at /dev/kvm in a mount namespace, as root."""
import json
import os
import subprocess
import unittest

import guest

# A device that answers no KVM ioctl, whose numbers are of no use to it either.
NO_KVM = "/dev/null"


@unittest.skipUnless(os.geteuid() == 0, "must be root to make a mount namespace")
class Host(guest.GuestTest):
    def setUp(self):
        super().setUp()
        if not os.path.exists("/dev/kvm"):
            self.skipTest("there is no /dev/kvm to put something else on")

    def husk_where(self, script, *arguments):
        """Runs husk in a mount namespace of its own, after `script`."""
        process = subprocess.Popen(
            ["unshare", "-m", "sh", "-ec", f'{script}\nexec "$@"', "sh", guest.HUSK, *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True)
        self.addCleanup(self.end, process)
        return self.finish(process)

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
        self.cannot(f"mount --bind {NO_KVM} /dev/kvm", "/dev/kvm", "not a KVM device")

    def test_plain_file(self):
        path = self.write("kvm", b"")
        self.cannot(f"mount --bind {path} /dev/kvm", "/dev/kvm", "not a KVM device")


if __name__ == "__main__":
    guest.main()
