# SPDX-License-Identifier: Apache-2.0
"""Writes scripts for tests/fuzz/virtio_script.h, step by step; its enum gives the numbers."""
import struct

NEXT, WRITE, INDIRECT = 1, 2, 4
ALL_FEATURES = 0xFFFFFFFF
NO_EVENT_IDX = 0xDFFFFFFF
PACKED = 0x80  # of start()'s log2_size


def start(features=ALL_FEATURES, log2_size=4):
    return struct.pack("<BIB", 0, features, log2_size)


def register(offset, value):
    return struct.pack("<BBI", 1, offset // 4, value)


def access(offset, log2_size, write, value=0):
    return struct.pack("<BHBQ", 2, offset, log2_size | write << 7, value)


def descriptor(queue, index, place, length, flags, following=0):
    return struct.pack("<BBBBHIBB", 3, queue, index, 2, place, length, flags, following)


def offer(queue, head):
    return struct.pack("<BBB", 4, queue, head)


def avail_idx(queue, idx):
    return struct.pack("<BBH", 5, queue, idx)


def memory(place, content):
    return struct.pack("<BHB", 6, place, len(content)) + content


def kick(queue):
    return struct.pack("<BB", 7, queue)


def snapshot(position=0, damage=0):
    return struct.pack("<BHB", 8, position, damage)


def host(argument):
    return struct.pack("<BB", 9, argument)


def chain(queue, first, buffers):
    """Descriptors from index `first`, each buffer being (place, length, flags), and the offer."""
    steps = b""
    for i, (place, length, flags) in enumerate(buffers):
        last = i + 1 == len(buffers)
        steps += descriptor(queue, first + i, place, length, flags | (0 if last else NEXT),
                            first + i + 1)
    return steps + offer(queue, first)


def packed_chain(queue, first, buffers):
    """The same for packed rings: `first` is the descriptor that comes next in the ring."""
    steps = b""
    for i, (place, length, flags) in enumerate(buffers):
        last = i + 1 == len(buffers)
        steps += descriptor(queue, first + i, place, length, flags | (0 if last else NEXT), first)
    return steps + len(buffers) * offer(queue, 0)


def table_entry(address, length, flags, following):
    """One entry of an indirect table, for memory()."""
    return struct.pack("<QIHH", address, length, flags, following)
