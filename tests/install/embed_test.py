#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The example of docs/embedding.md, built against the installed tree in every way and run."""
import os
import re
import subprocess
import unittest

import installed
from installed import CC, CMAKE, InstallTest, run

# Whose own functions have the names of some inside the library.
NAMESAKES = """
int json_loads(void) { return 1; }
int crc32(void) { return 1; }
int err_set(void) { return 1; }
int machine_create(void) { return 1; }
"""

PROJECT = """
cmake_minimum_required(VERSION 3.25)
project(job LANGUAGES C)
find_package(husk {version} REQUIRED)
add_executable(shared job.c)
target_link_libraries(shared PRIVATE husk::husk)
add_executable(static job.c namesakes.c)
target_link_libraries(static PRIVATE husk::husk_static)
"""

NETWORK = """
#include <husk.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    struct husk_config config;
    struct husk_vm *vm = NULL;
    struct husk_err err;

    husk_config_init(&config);
    config.kernel = argv[argc - 1];
    if (husk_config_add_net(&config, "user", &err) || husk_vm_create(&config, NULL, &vm, &err)) {
        fprintf(stderr, "%s\\n", err.message);
        return 1;
    }
    husk_vm_destroy(vm);
    husk_config_release(&config);
    return 0;
}
"""


def examples():
    """Of a machine, and of a sandbox."""
    text = (installed.SOURCE / "docs/embedding.md").read_text(encoding="utf-8")
    return re.findall(r"^```c\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


class Embed(InstallTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for name, text in (("job.c", examples()[0]), ("sandbox.c", examples()[1]),
                           ("namesakes.c", NAMESAKES),
                           ("network.c", NETWORK)):
            (cls.folder / name).write_text(text, encoding="utf-8")

    def pkg_config(self, *arguments):
        environment = {**os.environ, "PKG_CONFIG_LIBDIR": str(self.library / "pkgconfig")}
        return run("pkg-config", *arguments, "libhusk", env=environment).split()

    def compile(self, *arguments, compiler=CC):
        program = self.folder / "program"
        run(*compiler.split(), "-Wall", "-Wextra", "-Werror", *arguments, "-o", program,
            cwd=self.folder)
        return program

    def needed(self, program):
        return re.findall(r"NEEDED.*\[(.*)\]", run("readelf", "-d", program))

    def run_program(self, program):
        environment = {**os.environ, "LD_LIBRARY_PATH": str(self.library)}
        return subprocess.run([program, installed.PAYLOAD], env=environment, text=True, timeout=60,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)

    def assert_boots(self, program):
        done = self.run_program(program)
        if installed.HAS_KVM:
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertIn("no such way", done.stdout)
        else:
            self.assertEqual(done.returncode, 1)
            self.assertIn("/dev/kvm", done.stderr)

    def test_examples_are_short(self):
        self.assertEqual([len(text.splitlines()) <= 40 for text in examples()], [True, True])

    def assert_builds_both_ways(self, source, *options):
        """Yields the program on the shared library, then that on the archive."""
        archive = self.pkg_config("--variable=libdir")[0] + "/libhusk.a"
        program = self.compile(source, *options, *self.pkg_config("--cflags", "--libs"))
        self.assertIn(installed.SONAME, self.needed(program))
        yield program
        program = self.compile(source, *options, *self.pkg_config("--cflags"), archive)
        self.assertEqual(self.needed(program), ["libc.so.6"])
        yield program

    def test_sandbox(self):
        for program in self.assert_builds_both_ways("sandbox.c"):
            environment = {**os.environ, "LD_LIBRARY_PATH": str(self.library)}
            done = subprocess.run([program], env=environment, timeout=60, check=False)
            self.assertEqual(done.returncode, 125)

    def test_runner(self):
        source = self.prefix / "share/doc/husk/examples/runner.c"
        for program in self.assert_builds_both_ways(source, "-pthread"):
            environment = {**os.environ, "LD_LIBRARY_PATH": str(self.library)}
            self.assertIn("NAME<TAB>COMMAND", run(program, "--help", env=environment))

    def test_pkg_config(self):
        self.assertEqual(self.pkg_config("--modversion"), [installed.VERSION])
        program = self.compile("job.c", *self.pkg_config("--cflags", "--libs"))
        self.assertIn(installed.SONAME, self.needed(program))
        self.assert_boots(program)

    def test_archive_needs_libc_alone(self):
        archive = self.pkg_config("--variable=libdir")[0] + "/libhusk.a"
        program = self.compile("job.c", "namesakes.c", *self.pkg_config("--cflags"), archive)
        self.assertEqual(self.needed(program), ["libc.so.6"])
        self.assert_boots(program)

    def test_program_without_shared_libraries(self):
        program = self.compile("job.c", "-static", *self.pkg_config("--static", "--cflags", "--libs"))
        self.assertEqual(self.needed(program), [])
        self.assert_boots(program)

    def test_find_package(self):
        project, build = self.folder / "project", self.folder / "project/build"
        project.mkdir()
        for name in ("job.c", "namesakes.c"):
            (project / name).write_bytes((self.folder / name).read_bytes())
        (project / "CMakeLists.txt").write_text(PROJECT.format(version=installed.VERSION[:-2]),
                                                encoding="utf-8")
        run(CMAKE, "-S", project, "-B", build, f"-DCMAKE_PREFIX_PATH={self.prefix}",
            f"-DCMAKE_C_COMPILER={CC}")
        run(CMAKE, "--build", build)
        self.assertIn(installed.SONAME, self.needed(build / "shared"))
        self.assertEqual(self.needed(build / "static"), ["libc.so.6"])
        for name in ("shared", "static"):
            self.assert_boots(build / name)

    def test_header_is_a_header_of_cplusplus_too(self):
        (self.folder / "job.cc").write_text("#include <husk.h>\nint main() { return 0; }\n",
                                            encoding="utf-8")
        self.compile("-x", "c++", "job.cc", "-std=c++17", "-pedantic", *self.pkg_config("--cflags"))

    @unittest.skipUnless(installed.HAS_KVM, "there is no /dev/kvm")
    def test_library_finds_the_helper(self):
        program = self.compile("network.c", *self.pkg_config("--cflags", "--libs"))
        done = self.run_program(program)
        self.assertEqual((done.returncode, done.stderr), (0, ""))


if __name__ == "__main__":
    unittest.main()
