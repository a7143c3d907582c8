#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Proves that check_layering.py finds what is planted, and nothing in a tree that is clean."""
import pathlib
import subprocess
import sys
import tempfile
import unittest

CHECK = pathlib.Path(__file__).with_name("check_layering.py")
SPDX = "/* SPDX-License-Identifier: Apache-2.0 */\n"

CLEAN = {
    "vmm/core/loop.h": SPDX + "#include <linux/kvm.h>\n",
    "vmm/core/loop.c": SPDX + '#include "core/loop.h"\n#include <stdio.h>\n',
    "arch/x86_64/vcpu.c": SPDX + '#include "arch/arch.h"\n#include "core/loop.h"\n',
    "firmware/acpi.c": SPDX + '#include "firmware/acpi.h"\n  #  include "core/loop.h"\n',
    "devices/virtio/blk.c": SPDX + '#include "devices/disk/disk.h"\n#include "core/loop.h"\n',
    "devices/disk/disk.c": SPDX + '#include "devices/disk/disk.h"\n',
    "vmm/machine.c": SPDX + '#include "arch/arch.h"\n#include "devices/virtio/blk.h"\n'
                            '#include "firmware/acpi.h"\n#include "vmm/husk.h"\n',
    "vmm/husk.h": SPDX + "#include <stdint.h>\n",
    "tools/husk/options.h": SPDX,
    "tools/husk/main.c": SPDX + '#include "husk.h"\n#include "options.h"\n',
    "tests/unit/a_test.c": SPDX + '#include "devices/virtio/blk.h"\n#include "support/x.h"\n',
    "tools/check": "#!/usr/bin/env bash\n# SPDX-License-Identifier: Apache-2.0\n",
    "cmake/a.cmake": "# SPDX-License-Identifier: Apache-2.0\n",
    "tools/README.md": "no licence line needed\n",
}


def planted(include):
    return SPDX + "\n" + include + "\n"


# File, content, and what must be said about it.
VIOLATIONS = [
    ("vmm/core/a.c", planted('#include "devices/virtio/blk.h"'), ":3: includes"),
    ("vmm/core/a.c", planted('#include "vmm/machine.h"'), "may include core/"),
    ("arch/a.c", planted('#include "firmware/acpi.h"'), "may include core/, arch/"),
    ("arch/a.c", planted('#include "vmm/machine.h"'), "includes"),
    ("firmware/a.c", planted('#include "arch/arch.h"'), "includes"),
    ("firmware/a.c", planted('#include "devices/disk/disk.h"'), "includes"),
    ("devices/legacy/a.c", planted('#include "arch/arch.h"'), "includes"),
    ("devices/legacy/a.c", planted('# include "firmware/acpi.h"'), "includes"),
    ("devices/legacy/a.c", planted('#include "uart.h"'), "includes"),
    ("devices/disk/a.c", planted('#include "devices/virtio/queue.h"'), "includes"),
    ("vmm/a.c", planted('#include "tools/husk/options.h"'), "includes"),
    ("vmm/a.c", planted('#include "../devices/a.h"'), "without .."),
    ("vmm/a.c", planted('#include "devices/../arch/arch.h"'), "without .."),
    ("vmm/a.c", planted("#include <core/loop.h>"), "includes <core/loop.h>"),
    ("vmm/a.c", planted("#include HEADER"), "macro"),
    ("vmm/husk.h", planted('#include "core/err.h"'), "nothing of Husk"),
    ("tools/a/a.c", planted('#include "core/loop.h"'), "may include husk.h"),
    ("tools/a/a.c", planted('#include "vmm/husk.h"'), "includes"),
    ("tools/a/a.c", planted('#include "options.h"'), "includes"),  # of another folder
    ("tools/a/a.c", planted('#include "../husk/options.h"'), "without .."),
    ("vmm/a.c", "int a;\n", "does not begin with"),
    ("vmm/a.c", "", "does not begin with"),
    ("vmm/a.c", "\n" + SPDX, "does not begin with"),
    ("tools/a/run", "#!/bin/sh\necho\n", "does not begin with"),
    ("vmm/a.c", SPDX + "\n" * 800, "has 801 lines"),
    ("vmm/a.c", b"\xff\xfe", "no UTF-8"),
]


class CheckLayering(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="husk-layering-")
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        for name, content in CLEAN.items():
            self.plant(name, content)

    def plant(self, name, content):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    def check(self, root):
        return subprocess.run([sys.executable, CHECK, root], capture_output=True, text=True,
                              check=False)

    def test_clean_tree_passes(self):
        result = self.check(self.root)
        self.assertEqual(result.returncode, 0, result.stdout)
        self.assertIn(f"{len(CLEAN)} files, 0 violations", result.stdout)

    def test_every_violation_is_found(self):
        for name, content, message in VIOLATIONS:
            with self.subTest(name=name, message=message):
                path = self.root / name
                before = path.read_bytes() if path.exists() else None
                self.plant(name, content)
                result = self.check(self.root)
                self.assertEqual(result.returncode, 1, content)
                self.assertIn(message, result.stdout)
                self.assertTrue(result.stdout.startswith(name), result.stdout)
                self.assertIn(" 1 violations", result.stdout)
                path.unlink()
                if before is not None:
                    path.write_bytes(before)

    def test_exactly_800_lines_pass(self):
        self.plant("vmm/a.c", SPDX + "\n" * 799)
        self.assertEqual(self.check(self.root).returncode, 0)

    def test_a_folder_without_sources_is_an_error(self):
        self.assertEqual(self.check(self.root / "tools").returncode, 2)


if __name__ == "__main__":
    unittest.main()
