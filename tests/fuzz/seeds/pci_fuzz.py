# SPDX-License-Identifier: Apache-2.0
"""What a driver does to a device on PCI: it sizes and moves the BAR, masks, kicks, resets."""
from seeds.virtio_script import WRITE, access, chain, host, kick, snapshot, start

DEVICE = 0x8000  # the configuration space of slot 1 in an access
COMMAND, BAR = 0x04, 0x10
WINDOW = 0xC0000000


def config(offset, log2_size, value):
    return access(DEVICE + offset, log2_size, True, value)


def capabilities():
    """Writes of every double word behind the header: among them the window and MSI-X's flags."""
    return b"".join(config(at, 2, 0xFFFFFFFF) + config(at, 2, at) for at in range(0x40, 0x100, 4))


def vector(index, value):
    return b"".join(access(0x1000 + index * 16 + word * 4, 2, True, value) for word in range(4))


def seeds():
    ask = chain(0, 0, [(16, 64, WRITE)]) + kick(0) + host(0)
    size = config(BAR, 2, 0xFFFFFFFF) + access(DEVICE + BAR, 2, False) + config(BAR, 2, WINDOW)
    return {
        "ask": start() + ask + ask,
        "size": config(COMMAND, 1, 0) + size + config(COMMAND, 1, 2) + start() + ask,
        "move": start() + ask + config(BAR, 2, WINDOW + 0x4000) + ask + config(COMMAND, 1, 0) + ask,
        "mask": start() + vector(1, 1) + ask + vector(1, 0) + ask,
        "capabilities": start() + capabilities() + ask,
        "snapshot": start() + ask + snapshot() + ask + snapshot(20, 2) + ask,
        "reset": start() + ask + access(20, 0, True, 0) + ask,
    }
