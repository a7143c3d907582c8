# SPDX-License-Identifier: Apache-2.0
"""Input, output, resizes, emergencies, and snapshots between them."""
from seeds.virtio_script import (WRITE, access, avail_idx, chain, host, kick, snapshot, start)

TYPE, READ, RESIZE = 3, 4, 80  # arguments of host(), by their remainder


def seeds():
    listen = chain(0, 0, [(16, 64, WRITE)]) + kick(0)
    listen_more = chain(0, 1, [(32, 64, WRITE), (48, 64, WRITE)]) + kick(0)
    say = chain(1, 0, [(64, 100, 0), (96, 28, 0)]) + kick(1)
    shout = chain(1, 2, [(64, 200000, 0)]) + kick(1)
    return {
        "input": start() + listen + host(TYPE) + listen_more + host(TYPE),
        "early-input": start(0) + host(TYPE) + listen,
        "output": start() + say + host(READ),
        "slow-output": start() + shout + say + host(READ) * 20 + kick(1),
        "snapshot": start() + shout + snapshot() + host(READ) * 20 + snapshot(90, 0xFF) + kick(1),
        "resize": host(RESIZE) + start() + host(RESIZE + 3) + access(0x100, 2, 0),
        "emergency": access(0x108, 2, 1, 33) + access(0x108, 0, 1, 33),
        "leap": start() + listen + say + avail_idx(1, 500) + kick(1) + host(TYPE),
    }
