# SPDX-License-Identifier: Apache-2.0
"""Requests of every kind of buffer."""
from seeds.virtio_script import NO_EVENT_IDX, WRITE, chain, kick, snapshot, start


def seeds():
    ask = chain(0, 0, [(16, 64, WRITE), (1024, 8192, WRITE)]) + kick(0)
    return {
        "ask": start() + ask + ask,
        "plain": start(NO_EVENT_IDX) + ask,
        "snapshot": start() + ask + snapshot() + ask,
        "empty": start() + chain(0, 0, [(16, 64, 0)]) + kick(0),
        "much": start() + (chain(0, 3, [(16, 4096, WRITE)]) + kick(0)) * 40,
    }
