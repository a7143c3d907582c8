# SPDX-License-Identifier: Apache-2.0
"""Machines as fdt_fuzz.c reads them: a shape, windows, an initrd, a command line."""
import struct

GIC = [(0x8000000, 0x10000), (0x80A0000, 0x800000), (0x8080000, 0x20000)]
FIXED = [(0x9000000, 0x1000), (0x9010000, 0x1000), (0x9020000, 2)]
PCI = [(0x20000000, 0x100000), (0x10000000, 0x10000000)]


def machine(cpus, windows, version=0, area=0x10000, fixed=GIC + FIXED + PCI):
    devices = [(0xA000000 + 0x1000 * i, 0x200) for i in range(windows)]
    initrd = (0x48000000, 0x100000)
    return (struct.pack("<HBBIB3x", cpus, windows, version, area, 1)
            + b"".join(struct.pack("<QQ", *window) for window in fixed + devices + [initrd])
            + b"console=ttyAMA0 quiet")


def seeds():
    return {
        "one": machine(1, 2),
        "many": machine(64, 20),
        "gicv2": machine(8, 3, version=1),
        "small": machine(4, 2, area=1024),
        "bare": machine(1, 0, fixed=GIC + [(0, 0)] * 5),
    }
