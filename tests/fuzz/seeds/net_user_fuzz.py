# SPDX-License-Identifier: Apache-2.0
"""Seeds for net_user_fuzz: streams of frames, whole and broken, and forward rules."""
import struct


def stream(*sizes):
    return b"".join(struct.pack(">I", size) + bytes([size & 0xff]) * size for size in sizes)


def seeds():
    return {
        "frames": stream(60, 14, 1, 300),
        "cut": stream(60, 60)[:-7],
        "zero": stream(60) + struct.pack(">I", 0) + b"x" * 20,
        "too-large": struct.pack(">I", 65601),
        "rule": b"tcp:127.0.0.1:2222:10.0.2.15:22",
        "short-rule": b"udp:53:53",
        "empty-addresses": b"tcp::2222::22",
        "bad-guest": b"tcp:1:10.0.2.2:1",
    }
