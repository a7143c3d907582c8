# SPDX-License-Identifier: Apache-2.0
"""Every request type, indirect and not, and snapshots between them."""
import struct

from seeds.virtio_script import (INDIRECT, NEXT, NO_EVENT_IDX, PACKED, WRITE, chain, kick, memory,
                                 packed_chain, register, snapshot, start, table_entry)

IN, OUT, FLUSH, GET_ID, DISCARD, WRITE_ZEROES = 0, 1, 4, 8, 11, 13
BUFFERS = 0x140000  # MOCK_BUFFERS
HEADER, STATUS, RANGE, TABLE, DATA = 0, 2, 4, 16, 64  # places, in units of 16 bytes


def request(kind, sector=0, data=None):
    buffers = [(HEADER, 16, 0)] + ([data] if data else []) + [(STATUS, 1, WRITE)]
    return memory(HEADER, struct.pack("<IIQ", kind, 0, sector)) + chain(0, 0, buffers) + kick(0)


def packed():
    """Requests of three descriptors that go around a ring of four."""
    steps = start(log2_size=2 | PACKED) + memory(HEADER, struct.pack("<IIQ", IN, 0, 1))
    for i in range(5):
        steps += packed_chain(0, 3 * i % 4, [(HEADER, 16, 0), (DATA, 4096, WRITE),
                                             (STATUS, 1, WRITE)]) + kick(0)
    return steps + snapshot() + packed_chain(0, 3, [(TABLE, 48, INDIRECT)]) + kick(0)


def ranges(kind, sector, count, flags=0):
    return memory(RANGE, struct.pack("<QII", sector, count, flags)) + request(
        kind, 0, (RANGE, 16, 0))


def indirect():
    table = (table_entry(BUFFERS + HEADER * 16, 16, NEXT, 1) +
             table_entry(BUFFERS + DATA * 16, 1024, NEXT | WRITE, 2) +
             table_entry(BUFFERS + STATUS * 16, 1, WRITE, 0))
    return (memory(HEADER, struct.pack("<IIQ", IN, 0, 3)) + memory(TABLE, table) +
            chain(0, 0, [(TABLE, len(table), INDIRECT)]) + kick(0))


def seeds():
    data_out, data_in = (DATA, 4096, 0), (DATA, 4096, WRITE)
    scripts = {
        "read": start() + request(IN, 1, data_in),
        "write": start() + request(OUT, 1, data_out) + request(FLUSH) + request(IN, 1, data_in),
        "write-through": start(0) + request(OUT, 1, data_out),
        "identity": start(NO_EVENT_IDX) + request(GET_ID, 0, (DATA, 20, WRITE)),
        "discard": start() + ranges(DISCARD, 8, 16),
        "zeroes": start() + ranges(WRITE_ZEROES, 8, 16) + ranges(WRITE_ZEROES, 8, 16, 1),
        "indirect": start() + indirect(),
        "packed": packed(),
        "past-the-end": start() + request(IN, 127, data_in) + request(OUT, 2**64 - 1, data_out),
        "snapshot": start() + request(IN, 1, data_in) + snapshot() + request(OUT, 2, data_out),
        "damaged": start() + request(IN, 1, data_in) + snapshot(40, 0x55) + request(IN, 0, data_in),
        "reset": start() + request(IN, 1, data_in) + register(0x70, 0) + start() + indirect(),
    }
    return {name: b"\0" + script for name, script in scripts.items()} | {
        "read-only": b"\1" + scripts["write"]}
