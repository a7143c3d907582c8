# SPDX-License-Identifier: Apache-2.0
"""Answers of a vhost-user peer: request, flags, size, payload."""
import struct

VERSION_1, PROTOCOL, REPLY_ACK = 1 << 32, 1 << 30, 1 << 3


def answer(request, payload, flags=5):
    return struct.pack("<III", request, flags, len(payload)) + payload


def number(request, value):
    return answer(request, struct.pack("<Q", value))


def seeds():
    acknowledged = [2, 5, 8, 10, 9, 13, 14, 12, 18]
    position = answer(11, struct.pack("<II", 0, 7))
    whole = (number(1, VERSION_1 | PROTOCOL) + number(15, REPLY_ACK)
             + b"".join(number(request, 0) for request in acknowledged) + position)
    return {
        "whole": whole,
        "old": number(1, VERSION_1) + position,
        "refused": number(1, VERSION_1 | PROTOCOL) + number(15, REPLY_ACK) + number(2, 1),
        "before_1": number(1, PROTOCOL) + number(15, 0),
        "large": struct.pack("<III", 1, 5, 0xffffffff),
        "more": whole + b"more",
    }
