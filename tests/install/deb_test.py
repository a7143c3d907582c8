#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The Debian package: its fields, and that it has what cmake --install has, under /usr."""
import pathlib
import unittest

import installed
from installed import BUILD, InstallTest, run


class Package(InstallTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        run(pathlib.Path(installed.CMAKE).parent / "cpack", "-G", "DEB", "-B", cls.folder / "deb",
            "--config", BUILD / "CPackConfig.cmake")
        cls.deb = next((cls.folder / "deb").glob("*.deb"))

    def field(self, name):
        return run("dpkg-deb", "-f", self.deb, name).strip()

    def test_name_and_version(self):
        self.assertEqual(self.field("Package"), "husk")
        self.assertEqual(self.field("Version"), installed.VERSION)
        self.assertRegex(self.deb.name, rf"^husk_{installed.VERSION}_\w+\.deb$")

    def test_what_it_depends_on(self):
        packages = {clause.split()[0] for clause in self.field("Depends").split(",")}
        self.assertEqual(packages, {"libc6", "libjansson4", "liburing2", "libfdt1", "zlib1g",
                                    "libslirp0", "libseccomp2"})

    def test_what_sandboxes_want(self):
        self.assertEqual(self.field("Recommends"), "e2fsprogs, virtiofsd | qemu-system-common")

    def test_contents(self):
        lines = [line.split(None, 5) for line in run("dpkg-deb", "-c", self.deb).splitlines()]
        files = {words[5].split(" -> ")[0]: words for words in lines if words[0][0] != "d"}
        expected = {f"./usr/{path.relative_to(self.prefix)}" for path in self.prefix.rglob("*")
                    if not path.is_dir()}
        self.assertEqual(set(files), expected)
        for path, words in files.items():
            program = path.endswith(("/husk-agent", "/husk-net-user", "/bin/husk"))
            self.assertEqual(words[1], "root/root", path)
            if words[0][0] == "-":
                self.assertEqual(words[0], "-rwxr-xr-x" if program else "-rw-r--r--", path)

    def test_folders_are_for_all_to_enter(self):
        for line in run("dpkg-deb", "-c", self.deb).splitlines():
            if line.startswith("d"):
                self.assertTrue(line.startswith("drwxr-xr-x root/root"), line)


if __name__ == "__main__":
    unittest.main()
