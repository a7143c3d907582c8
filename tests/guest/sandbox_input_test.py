# SPDX-License-Identifier: Apache-2.0
"""
husk sandbox and its companions where something is wrong or missing: one line that says what, status
125 (or as documented), and nothing left. Machines here have no Linux: their kernel is a payload.
"""
import os
import shutil
import socket
import subprocess
import unittest

import guest
from bad_input_test import elf

FAILED = 125
MODULES = ("virtio_mmio", "vmw_vsock_virtio_transport", "overlay", "virtio_blk", "virtiofs", "ext4",
           "virtio_net")
NO_VIRTIOFSD = """for program in /usr/libexec/virtiofsd /usr/lib/virtiofsd /usr/lib/qemu/virtiofsd; do
    [ ! -e $program ] || mount --bind /dev/null $program
done"""


class SandboxTest(guest.GuestTest):
    """A kernel with modules, and an image of a root, as far as they are looked at from outside."""

    def setUp(self):
        super().setUp()
        os.environ["XDG_RUNTIME_DIR"] = self.folder
        os.environ["XDG_CACHE_HOME"] = self.path("cache")
        self.kernel = self.path("vmlinuz")
        shutil.copy(guest.payload("ends"), self.kernel)
        self.make_modules(MODULES)
        self.image = self.write("root.img", bytes(1080) + b"\x53\xef" + bytes((1 << 20) - 1082))

    def make_modules(self, names):
        folder = self.path("lib/modules/1.2.3")
        os.makedirs(folder, exist_ok=True)
        for name in names:
            self.write(f"lib/modules/1.2.3/{name}.ko", "no module")
        self.write("lib/modules/1.2.3/modules.dep", "".join(f"{name}.ko:\n" for name in names))

    def sandbox(self, *arguments):
        return self.husk("sandbox", "--kernel", self.kernel, *arguments, "--", "true")

    def assert_nothing_left(self):
        left = os.listdir(self.path("husk")) if os.path.exists(self.path("husk")) else []
        self.assertEqual([name for name in left if name != ".lock"], [])

    def refused(self, result, *words, status=FAILED):
        self.assert_one_line(result, status, *words)
        self.assertEqual(result.out, "")
        self.assert_nothing_left()


class Parts(SandboxTest):
    def test_no_kernel(self):
        self.refused(self.husk("sandbox", "--kernel", self.path("none"), "--", "true"),
                     self.path("none"), "No such file")

    def test_no_modules(self):
        shutil.rmtree(self.path("lib"))
        self.refused(self.sandbox("--root", self.image), "modules", "--modules")

    def test_a_module_is_missing(self):
        self.make_modules([name for name in MODULES if name != "overlay"])
        self.refused(self.sandbox("--root", self.image), "overlay", "linux-image-cloud-amd64")

    def test_no_root(self):
        self.refused(self.sandbox("--root", self.path("none")), self.path("none"), "No such file")

    def test_root_is_no_image(self):
        self.refused(self.sandbox("--root", self.write("text", "text")), "ext4", "squashfs")

    def test_bind_is_missing_or_no_folder(self):
        self.refused(self.sandbox("--root", self.image, "--bind", f"{self.path('none')}:/x"),
                     self.path("none"), "No such file")
        self.refused(self.sandbox("--root", self.image, "--bind", f"{self.image}:/x"), "folders")

    @unittest.skipUnless(os.geteuid() == 0, "mounting takes root")
    def test_no_virtiofsd(self):
        os.mkdir(self.path("bound"))
        result = self.husk_where(NO_VIRTIOFSD, "sandbox", "--kernel", self.kernel, "--root", self.image,
                                 "--bind", f"{self.path('bound')}:/x", "--", "true")
        self.refused(result, "virtiofsd", "install")

    @unittest.skipUnless(os.geteuid() == 0, "mounting takes root")
    def test_no_virtiofsd_for_a_root_with_mounts(self):
        os.makedirs(self.path("root/mounted"))
        result = self.husk_where(f"{NO_VIRTIOFSD}\nmount -t tmpfs none {self.path('root/mounted')}",
                                 "sandbox", "--kernel", self.kernel, "--root", self.path("root"),
                                 "--", "true")
        self.refused(result, "mounted in it", "install virtiofsd")

    @unittest.skipUnless(os.geteuid() == 0, "mounting takes root")
    def test_no_mkfs_to_pack_with(self):
        os.mkdir(self.path("root"))
        hidden = f"{NO_VIRTIOFSD}\nmount -t tmpfs none /usr/sbin"
        result = self.husk_where(hidden, "sandbox", "--kernel", self.kernel, "--root",
                                 self.path("root"), "--", "true")
        self.refused(result, "mkfs.ext4", "e2fsprogs")

    @unittest.skipUnless(os.geteuid() == 0, "mounting takes root")
    def test_no_kvm(self):
        result = self.husk_where("mount --bind /dev/null /dev/kvm", "sandbox", "--kernel", self.kernel,
                                 "--root", self.image, "--", "true")
        self.refused(result, "/dev/kvm")

    def test_layer_in_use(self):
        layer = self.write("layer", bytes(1 << 20))
        with open(layer, "rb") as held:
            subprocess.run(["flock", "--nonblock", str(held.fileno())], pass_fds=[held.fileno()],
                           check=True)
            self.refused(self.sandbox("--root", self.image, "--keep", layer), layer, "another sandbox")


class Options(SandboxTest):
    def test_values(self):
        for option, value, *words in (
                ("--net", "tap", "none or user"), ("--net", "user,allow=a:b:c", "rule"),
                ("--net", "user,publish=80", "PORT:GUESTPORT"), ("--net", "none,allow=any", "no rules"),
                ("--net", "user,publish=99999:1", "husk: network: forward ", "no port"),
                ("--bind", "x", "HOST:GUEST"), ("--bind", "/x:y", "GUEST begins"),
                ("--out", "x", "GUEST:HOST"), ("--timeout", "x", "time"), ("--cpus", "0", "64"),
                ("--memory", "1", "32M"), ("--disk-size", "1K", "16M"), ("--name", "a/b", "letters")):
            with self.subTest(option=option, value=value):
                self.refused(self.sandbox("--root", self.image, option, value), *words)

    def test_no_command(self):
        self.refused(self.husk("sandbox"), "no command", "--help")
        self.refused(self.husk("sandbox", "--detach", "--tty", "--", "true"), "--tty")

    def test_no_such_sandbox(self):
        for command in (("exec", "none", "true"), ("logs", "none"), ("stop", "none"), ("rm", "none"),
                        ("cp", "none:/x", ".")):
            with self.subTest(command=command):
                self.refused(self.husk(*command), "none", "husk ps",
                             status=FAILED if command[0] == "exec" else guest.FAILURE)


@unittest.skipUnless(os.access("/dev/kvm", os.R_OK | os.W_OK), "there is no /dev/kvm")
class Starts(SandboxTest):
    def test_a_taken_port(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            self.refused(self.sandbox("--root", self.image, "--net",
                                      f"user,publish=127.0.0.1:{port}:80"),
                         "forward tcp:", f"port {port} is taken; choose another")

    def test_the_guest_ends_while_it_boots(self):
        result = self.sandbox("--root", self.image)
        self.assertEqual(result.status, FAILED, result)
        self.assertIn("while booting its kernel", result.err.splitlines()[-1])
        self.assert_nothing_left()

    def test_the_guest_hangs(self):
        self.write("vmlinuz", elf([(0x100000, b"\xeb\xfe", 2)]))  # jumps to itself
        result = self.sandbox("--root", self.image, "--start-timeout", "0.3")
        self.assertEqual(result.status, FAILED, result)
        self.assertIn("while booting its kernel", result.err.splitlines()[-1])
        self.assert_nothing_left()

    def test_what_a_kill_leaves_goes_with_the_next_command(self):
        process = self.start("sandbox", "--kernel", self.kernel, "--root", self.image, "--name", "box",
                             "--start-timeout", "1000", "--", "true", env={**os.environ})
        self.wait_for(lambda: os.path.exists(self.path("husk/box/info")) or process.poll() is not None)
        process.kill()
        process.wait()
        self.assertEqual(self.husk("ps", "--quiet").out, "")
        self.assert_nothing_left()


if __name__ == "__main__":
    guest.main()
