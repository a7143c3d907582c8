# SPDX-License-Identifier: Apache-2.0
"""Rings with good chains, direct and indirect, and some of the classic bad ones."""
import struct

NEXT, WRITE, INDIRECT = 1, 2, 4
BASE = 0x100000  # MOCK_MEMORY_BASE
AVAIL, TABLE, DATA = 0x1000, 0x3000, 0x3800
LOG2_SIZE = 4
PACKED, AVAILABLE, SECOND_LAP = 8, 1 << 7, 1 << 15


def ring(descriptors, heads, table=b"", features=1, idx=None):
    """Byte 0 and 1 of the target's input, then the memory with all three parts of the ring."""
    memory = bytearray(0x4000)
    for i, entry in enumerate(descriptors):
        struct.pack_into("<QIHH", memory, i * 16, *entry)
    struct.pack_into(f"<HH{len(heads)}H", memory, AVAIL, 0,
                     len(heads) if idx is None else idx, *heads)
    memory[TABLE:TABLE + len(table)] = table
    return bytes([LOG2_SIZE, features]) + bytes(memory)


def packed(descriptors, table=b"", features=1, size=16):
    """The same with a packed ring, whose descriptors are available in the first lap."""
    memory = bytearray(0x4000)
    for i, (address, length, flags, number) in enumerate(descriptors):
        lap = 0 if flags & SECOND_LAP else AVAILABLE
        struct.pack_into("<QIHH", memory, i * 16, address, length, number, flags | lap)
    memory[TABLE:TABLE + len(table)] = table
    return bytes([size - 1, features | PACKED]) + bytes(memory)


def seeds():
    data = BASE + DATA
    entry = struct.Struct("<QIHH")
    table = entry.pack(data, 64, NEXT, 1) + entry.pack(data, 64, WRITE, 0)
    direct = [(data, 16, NEXT, 1), (data, 512, NEXT | WRITE, 2), (data, 1, WRITE, 0)]
    indirect = [(BASE + TABLE, 32, INDIRECT, 0)]
    return {
        "direct": ring(direct, [0, 0, 1]),
        "event-idx": ring(direct, [0, 1, 2], features=3),
        "in-flight": ring(direct, [0] * 16, features=5),
        "indirect": ring(indirect, [0], table),
        "direct-then-indirect": ring([(data, 16, NEXT, 1), (BASE + TABLE, 32, INDIRECT, 0)], [0],
                                     table),
        "nested": ring(indirect, [0], entry.pack(BASE + TABLE, 32, INDIRECT, 0) * 2),
        "loop": ring([(data, 16, NEXT, 1), (data, 16, NEXT, 0)], [0]),
        "empty": ring([(data, 0, NEXT, 1), (data, 0, WRITE, 0)], [0]),
        "leap": ring(direct, [0], idx=0xFFFF),
        "outside": ring([(2**64 - 8, 16, 0, 0)], [0]),
        "packed": packed(direct + direct + [(data, 16, 0, 7)]),
        "packed-event-idx": packed(direct + direct, features=3),
        "packed-in-flight": packed([(data, 16, 0, 1)] * 15 + [(data, 16, NEXT, 2)], features=5),
        "packed-indirect": packed(indirect * 3, table),
        "packed-mixed": packed([(data, 16, NEXT, 1)] + indirect, table),
        "packed-short": packed([(data, 16, 0, 1), (data, 16, NEXT, 2)]),
        "packed-loop": packed([(data, 16, NEXT, 1)] * 3, size=3),
        "packed-second-lap": packed([(data, 16, SECOND_LAP, 1)], size=1),
    }
