# SPDX-License-Identifier: Apache-2.0
"""Frames in and out, buffers that run out, commands, and the end of the link."""
import struct

from seeds.virtio_script import (PACKED, WRITE, chain, host, kick, memory, packed_chain, snapshot,
                                 start)

SIMPLE, FULL = b"\x00", b"\x03"
SMALL, LARGE, READ, GONE = 4, 20, 1, 255  # arguments of host()
CONTROL = 4


def command(queue, first, kind, number, data):
    return (memory(0, bytes([kind, number]) + data) +
            chain(queue, first, [(0, 2 + len(data), 0), (8, 1, WRITE)]) + kick(queue))


def seeds():
    buffers = b"".join(chain(0, i, [(i * 100, 1526, WRITE)]) for i in range(8)) + kick(0)
    say = chain(1, 0, [(0, 12, 0), (16, 100, 0)]) + kick(1) + host(READ)
    pairs = command(CONTROL, 0, 4, 0, struct.pack("<H", 2))
    offloads = command(CONTROL, 2, 5, 0, struct.pack("<Q", 2))
    packed = packed_chain(0, 0, [(0, 200, WRITE), (100, 1500, WRITE)]) + kick(0) + host(SMALL)
    return {
        "receive": FULL + start() + buffers + host(SMALL) * 3 + kick(0),
        "large": FULL + start() + buffers + host(LARGE) * 2 + kick(0) + buffers,
        "unmerged": SIMPLE + start(0) + buffers + host(SMALL) + host(LARGE) + kick(0),
        "starved": FULL + start() + host(LARGE) + host(SMALL) + buffers,
        "send": SIMPLE + start() + say,
        "control": FULL + start() + pairs + offloads + say,
        "snapshot": FULL + start() + buffers + pairs + snapshot() + host(SMALL) + snapshot(70, 3),
        "gone": FULL + start() + buffers + host(GONE) + say,
        "packed": FULL + start(log2_size=4 | PACKED) + packed,
    }
