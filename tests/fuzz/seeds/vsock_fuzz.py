# SPDX-License-Identifier: Apache-2.0
"""Connections both ways, data, credit, ends, and what breaks the rules."""
import struct

from seeds.virtio_script import (PACKED, WRITE, chain, host, kick, memory, packed_chain, snapshot,
                                 start)

CID, HOST_CID, PORT, GUEST_PORT, FIRST_PORT = 3, 2, 1, 77, 1 << 30
REQUEST, RESPONSE, RST, SHUTDOWN, RW, CREDIT_UPDATE, CREDIT_REQUEST = range(1, 8)
# What a program does: arguments of host(), for the first of them.
CONNECT, CONNECT_EARLY, CONNECT_PART, ACCEPT, WRITE_SOME, WRITE_MUCH, READ, END, DEAF, CLOSE = \
    range(0, 80, 8)
PACKETS, RECEIVE, SEND = 0x4000, 0, 1  # where the guest makes its packets; queues
HEADER = 44


class Guest:
    """Makes packets, each in descriptors and memory of its own."""

    def __init__(self):
        self.packets = 0

    def packet(self, operation, host_port=PORT, guest_port=GUEST_PORT, payload=b"", flags=0,
               buffer=0x10000, forwarded=0, size=None, kind=1):
        place = PACKETS + 16 * self.packets
        first = self.packets % 16
        self.packets += 1
        header = struct.pack("<QQIIIHHIII", CID, HOST_CID, guest_port, host_port,
                             len(payload) if size is None else size, kind, operation, flags,
                             buffer, forwarded)
        return (memory(place, header + payload) +
                chain(SEND, first, [(place, HEADER + len(payload), 0)]) + kick(SEND))


def seeds():
    def buffers(count=16):
        return b"".join(chain(RECEIVE, i, [(i * 64, 1024, WRITE)]) for i in range(count)) + kick(0)

    def say(*arguments, **keywords):
        return guest.packet(*arguments, **keywords)

    guest = Guest()
    ready = start() + buffers()
    from_guest = ready + say(REQUEST) + host(ACCEPT)
    talk = say(RW, payload=b"hello") + host(READ) + host(WRITE_SOME) + kick(0)
    from_host = ready + host(CONNECT) + kick(0) + say(RESPONSE, FIRST_PORT, 5)
    packed = packed_chain(0, 0, [(0, 44, WRITE), (100, 1500, WRITE)]) + kick(0) + host(CONNECT)
    return {
        "from-guest": from_guest + talk + say(SHUTDOWN, flags=3),
        "from-host": from_host + host(WRITE_SOME) + say(RW, FIRST_PORT, 5, b"x") + host(CLOSE),
        "early": ready + host(CONNECT_EARLY) + kick(0) + say(RESPONSE, FIRST_PORT, 5) + host(END),
        "part": ready + host(CONNECT_PART) + host(CLOSE) + kick(0),
        "refused": ready + host(CONNECT) + kick(0) + say(RST, FIRST_PORT, 5),
        "credit": ready + say(REQUEST, buffer=50) + host(ACCEPT) + host(WRITE_MUCH) + kick(0) +
                  say(CREDIT_UPDATE, buffer=50, forwarded=40) + say(CREDIT_REQUEST),
        "lies": from_guest + say(CREDIT_UPDATE, forwarded=9) + say(RW, size=999) +
                say(REQUEST, kind=2) + say(9) + say(RW, 3, 3),
        "halves": from_guest + host(END) + kick(0) + say(SHUTDOWN, flags=2) + host(DEAF) +
                  say(SHUTDOWN, flags=1),
        "starved": start() + b"".join(say(RW, 9, i) for i in range(12)) + buffers(),
        "snapshot": from_guest + talk + chain(2, 0, [(0x800, 4, WRITE)]) + kick(2) + snapshot() +
                    kick(0) + snapshot(70, 3),
        "packed": start(log2_size=4 | PACKED) + packed,
    }
