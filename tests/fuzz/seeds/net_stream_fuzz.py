# SPDX-License-Identifier: Apache-2.0
"""Frames behind their lengths, whole and in pieces, and lengths that cannot be."""
import struct


def frame(length, content=None):
    return struct.pack(">I", length) + (bytes(length) if content is None else content)


def pieces(content, size):
    chunks = [content[i:i + size] for i in range(0, len(content), size)]
    return b"".join(bytes([len(chunk)]) + chunk for chunk in chunks)


def seeds():
    return {
        "frames": pieces(frame(60) + frame(14) + frame(100), 200),
        "bytes": pieces(frame(60) + frame(14), 1),
        "large": pieces(frame(65600), 255),
        "too-large": pieces(frame(60) + frame(65601, b""), 255),
        "too-small": pieces(frame(13), 255),
        "cut": pieces(frame(1000)[:500], 100),
    }
