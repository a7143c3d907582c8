# SPDX-License-Identifier: Apache-2.0
"""Frames of fields, whole and in pieces, and such as cannot be."""
import struct


def frame(kind, payload, size=None):
    return struct.pack("=II", kind, len(payload) if size is None else size) + payload


def pieces(content, size):
    chunks = [content[i:i + size] for i in range(0, len(content), size)]
    return b"".join(bytes([len(chunk)]) + chunk for chunk in chunks)


def seeds():
    two = frame(5, b"port=42\0text=why\0") + frame(7, b"")
    return {
        "frames": pieces(two, 200),
        "bytes": pieces(two, 1),
        "too-large": pieces(frame(1, b"", 513) + two, 255),
        "no-end": pieces(frame(1, b"a=5") + two, 255),
        "no-number": pieces(frame(1, b"a=101\0=\0port=-1\0"), 255),
        "cut": pieces(two[:20], 7),
    }
