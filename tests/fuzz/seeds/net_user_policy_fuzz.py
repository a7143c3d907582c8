# SPDX-License-Identifier: Apache-2.0
"""Seeds for net_user_policy_fuzz: a rule, then frames both ways and what a name server says."""
import struct

GUEST, HOST, NAMESERVER, SERVER = b"\x0a\0\2\x0f", b"\x0a\0\2\2", b"\x0a\0\2\3", b"\xc0\0\2\7"
FROM_GUEST, TO_GUEST, ANSWER = 0, 1, 2


def step(kind, data):
    return bytes([kind]) + struct.pack(">H", len(data)) + data


def ipv4(protocol, source, to, payload, fragment=0):
    return (b"\xff" * 6 + b"\x52\x54\0\x12\x34\x56" + b"\x08\0" +
            struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), 1, fragment, 64, protocol, 0) +
            source + to + payload)


def tcp(to, port, flags=2):
    return ipv4(6, GUEST, to, struct.pack(">HHIIBBHHH", 4000, port, 1, 0, 5 << 4, flags, 1000, 0, 0))


def udp(source, source_port, to, port, payload, fragment=0):
    return ipv4(17, source, to,
                struct.pack(">HHHH", source_port, port, 8 + len(payload), 0) + payload, fragment)


def name(text):
    return b"".join(bytes([len(label)]) + label.encode() for label in text.split(".")) + b"\0"


def question(text, additional=b"", flags=0x100, answers=0):
    return (struct.pack(">HHHHHH", 0x1234, flags, 1, answers, 0, bool(additional)) + name(text) +
            struct.pack(">HH", 1, 1) + additional)


def record(owner, kind, data):
    return owner + struct.pack(">HHIH", kind, 1, 60, len(data)) + data


def ask(message):
    return step(FROM_GUEST, udp(GUEST, 4000, NAMESERVER, 53, message))


def seeds():
    answer = (question("a.test", flags=0x8180, answers=2) + record(b"\xc0\x0c", 5, name("b.test")) +
              record(name("b.test"), 1, SERVER))
    edns = b"\0" + struct.pack(">HHIH", 41, 1232, 0, 0)
    return {
        "names": b"tcp:a.test:80\0" + ask(question("a.test")) + step(ANSWER, answer) +
                 step(FROM_GUEST, tcp(SERVER, 80)) + step(FROM_GUEST, tcp(SERVER, 81)),
        "edns": b"*.test\0" + ask(question("a.test", edns)) + ask(question("test", edns)),
        "addresses": b"192.0.2.0/24:443\0" + step(FROM_GUEST, tcp(SERVER, 443)) +
                     step(FROM_GUEST, udp(GUEST, 4000, SERVER, 80, b"x")) +
                     step(FROM_GUEST, ipv4(1, GUEST, SERVER, b"\x08" + b"\0" * 7)),
        "fragments": b"any\0" + step(FROM_GUEST, udp(GUEST, 4000, SERVER, 80, b"x", 0x2000)) +
                     step(FROM_GUEST, udp(GUEST, 4000, HOST, 80, b"x", 1)),
        "host": b"host:80-90\0" + step(FROM_GUEST, tcp(HOST, 80)) + step(FROM_GUEST, tcp(HOST, 91)),
        "forward": b"any\0" + step(TO_GUEST, udp(HOST, 9000, GUEST, 5353, b"x")) +
                   step(FROM_GUEST, udp(GUEST, 5353, HOST, 9000, b"x")),
        "no-rule": b"tcp:192.0.2.7/24\0",
    }
