#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The installed tree: what is there, what the libraries export and need, and that it works."""
import os
import re
import subprocess
import unittest

import installed
from installed import InstallTest, run


class Tree(InstallTest):
    def test_what_is_there(self):
        library = self.library.relative_to(self.prefix)
        pages = {f"share/man/man3/{page.name}"
                 for page in (installed.SOURCE / "docs").glob("*.3")}
        expected = pages | {
            "bin/husk",
            "libexec/husk/husk-agent",
            "libexec/husk/husk-net-user",
            "include/husk.h",
            "share/man/man1/husk.1",
            "share/doc/husk/LICENSE",
            "share/doc/husk/embedding.md",
            "share/doc/husk/examples/runner.c",
            f"{library}/libhusk.a",
            f"{library}/libhusk.so",
            f"{library}/{installed.SONAME}",
            f"{library}/libhusk.so.{installed.VERSION}",
            f"{library}/pkgconfig/libhusk.pc",
            f"{library}/cmake/husk/huskConfig.cmake",
            f"{library}/cmake/husk/huskConfig-release.cmake",
            f"{library}/cmake/husk/huskConfigVersion.cmake",
        }
        found = {str(path.relative_to(self.prefix)) for path in self.prefix.rglob("*")
                 if not path.is_dir()}
        self.assertEqual(found, expected)

    def test_shared_library_exports_the_header_and_no_more(self):
        lines = run("nm", "-D", "--defined-only", self.library / "libhusk.so").splitlines()
        symbols = {line.split()[-1] for line in lines if " A " not in line}  # A: the version itself
        self.assertEqual(symbols, {f"{name}@@HUSK_0" for name in installed.declared()})

    def test_static_library_defines_the_header_and_no_more(self):
        lines = run("nm", "--extern-only", "--defined-only", self.library / "libhusk.a")
        symbols = set(re.findall(r"^\w+ \w (\w+)$", lines, re.MULTILINE))
        self.assertEqual(symbols, installed.declared())

    def test_soname_and_what_it_needs(self):
        lines = run("readelf", "-d", self.library / "libhusk.so")
        self.assertIn(f"soname: [{installed.SONAME}]", lines)
        needed = {name.split(".")[0] for name in re.findall(r"NEEDED.*\[(.*)\]", lines)}
        self.assertEqual(needed, {"libc", "libjansson", "liburing", "libfdt", "libz"})

    def test_command_needs_libc_alone(self):
        lines = run("readelf", "-d", self.prefix / "bin/husk")
        self.assertEqual(re.findall(r"NEEDED.*\[(.*)\]", lines), ["libc.so.6"])
        self.assertIn(installed.VERSION, run(self.prefix / "bin/husk", "version"))

    @unittest.skipUnless(installed.HAS_KVM, "there is no /dev/kvm")
    def test_command_finds_its_helper(self):
        run(self.prefix / "bin/husk", "run", installed.PAYLOAD, "--cmdline", "hello", "--net", "user",
            stdin=subprocess.DEVNULL)

    def test_every_function_has_a_page(self):
        named, prototypes = set(), set()
        for page in self.prefix.glob("share/man/man3/*"):
            text = page.read_text(encoding="utf-8")
            named |= set(re.findall(r"husk_\w+", re.search(r"^\.SH NAME\n(.*)", text, re.M)[1]))
            synopsis = " ".join(re.findall(r'^\.B "(.*)"$', text, re.MULTILINE))
            prototypes |= {" ".join(words.split()) for words in re.findall(r"[^;]+;", synopsis)}
        self.assertEqual(named, installed.declared() | {
            "husk_config_init", "husk_share_check", "husk_sandbox_config_init", "husk_command_init",
            "husk_err", "husk_log"})
        header = (self.prefix / "include/husk.h").read_text(encoding="utf-8")
        for words in re.findall(r"^HUSK_API\s([^;]+;)", header, re.MULTILINE):
            prototype = re.sub(r"\(\s+", "(", " ".join(words.split()))
            self.assertIn(prototype, prototypes)

    def test_pages_are_pages(self):
        for page in self.prefix.glob("share/man/man?/*"):
            self.assertEqual(run("man", "--warnings", "-l", page, env={**os.environ, "LC_ALL": "C",
                             "MANROFFSEQ": "", "MANWIDTH": "80", "MAN_KEEP_STDERR": "1"})
                             .count("warning:"), 0, page)


if __name__ == "__main__":
    unittest.main()
