# SPDX-License-Identifier: Apache-2.0
"""Page numbers good and bad, reports, what the driver writes, and snapshots between them."""
import struct

from seeds.virtio_script import (NO_EVENT_IDX, PACKED, WRITE, access, chain, host, kick, memory,
                                 packed_chain, snapshot, start)

BASE = 0x100  # the mock guest's first page
INFLATE, DEFLATE, REPORT = 0, 1, 4
ACTUAL, POISON = 0x104, 0x10C
NO_REPORTING = 0xFFFFFFDF


def numbers(pages):
    return memory(16, b"".join(struct.pack("<I", page) for page in pages))


def seeds():
    good = numbers([BASE + 0x200, BASE + 0x201, BASE + 0x210, BASE + 0x20F])
    bad = numbers([0, BASE - 1, BASE + 0x3FF, BASE + 0x400, 0xFFFFFFFF])
    give = chain(INFLATE, 0, [(16, 16, 0)]) + kick(INFLATE)
    take = chain(DEFLATE, 0, [(16, 16, 0)]) + kick(DEFLATE)
    report = chain(REPORT, 0, [(0x8000, 0x40000, WRITE), (0x4000, 100, WRITE)]) + kick(REPORT)
    said = access(ACTUAL, 2, 1, 4)
    return {
        "inflate": start() + host(40) + good + give + said + take,
        "plain": start(NO_EVENT_IDX) + good + give + take,
        "holes": start() + bad + chain(INFLATE, 0, [(16, 20, 0)]) + kick(INFLATE),
        "odd": start() + good + chain(INFLATE, 0, [(16, 3, 0), (16, 6, 0)]) + kick(INFLATE),
        "long": start() + good + chain(INFLATE, 0, [(16, 0x40000, 0)] * 3) + kick(INFLATE),
        "report": start() + report + report,
        "report-linux": start() + chain(2, 0, [(0x8000, 0x40000, WRITE)]) + kick(2),
        "report-rings": start() + chain(REPORT, 0, [(0, 0x200000, WRITE)]) + kick(REPORT),
        "report-readable": start() + chain(REPORT, 0, [(0x8000, 0x1000, 0), (0x9000, 0x1000, WRITE)])
        + kick(REPORT),
        "refused": start(NO_REPORTING) + report,
        "poison": start() + access(POISON, 2, 1, 0xAAAAAAAA) + report,
        "packed": start(log2_size=4 | PACKED) + good
        + packed_chain(INFLATE, 0, [(16, 16, 0)]) + kick(INFLATE)
        + packed_chain(REPORT, 0, [(0x8000, 0x40000, WRITE)]) + kick(REPORT),
        "snapshot": host(9) + start() + good + give + said + snapshot() + give + report
        + snapshot(120, 0xFF),
    }
