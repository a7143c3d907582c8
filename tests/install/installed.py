# SPDX-License-Identifier: Apache-2.0
"""What the tests of the installation share: a temporary prefix, and running tools on it.

ctest sets CMAKE, CC, HUSK_SOURCE, HUSK_BUILD and HUSK_VERSION.
"""
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

CMAKE = os.environ.get("CMAKE", "cmake")
CC = os.environ.get("CC", "cc")
SOURCE = pathlib.Path(os.environ["HUSK_SOURCE"])
BUILD = pathlib.Path(os.environ["HUSK_BUILD"])
VERSION = os.environ["HUSK_VERSION"]
PAYLOAD = BUILD / "tests/guest/payloads/ends"
SONAME = f"libhusk.so.{VERSION.split('.', maxsplit=1)[0]}"
HAS_KVM = os.access("/dev/kvm", os.R_OK | os.W_OK)


def run(*command, **options):
    """Standard output and error of a command that must succeed."""
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=120, check=False, **options)
    if done.returncode:
        raise AssertionError(f"{' '.join(map(str, command))}: {done.returncode}\n{done.stdout}")
    return done.stdout


def declared():
    """The functions that husk.h declares for programs to link with."""
    text = (SOURCE / "vmm/husk.h").read_text(encoding="utf-8")
    return set(re.findall(r"^HUSK_API\b[^;]*?\b(husk_\w+)\(", text, re.MULTILINE))


class InstallTest(unittest.TestCase):
    """Has the tree installed, in self.prefix of the temporary self.folder."""

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="husk-install."))
        cls.prefix = cls.folder / "prefix"
        run(CMAKE, "--install", BUILD, "--prefix", cls.prefix)
        cls.library = next(cls.prefix.rglob("libhusk.so")).parent

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)
