# SPDX-License-Identifier: Apache-2.0
"""Trees, whole and cut, and such as want to leave their folder."""
import struct

FILE, FOLDER, LINK, END, FAILED = range(1, 6)


def entry(kind, name=b"", content=b"", size=None):
    size = len(content) if size is None else size
    return struct.pack("=IIQqII", kind, 0o755, size, 1, 2, len(name)) + name + content


def seeds():
    top = entry(FOLDER, b"top")
    end = entry(END)
    link = entry(LINK, b"way", b"../../")
    tree = top + entry(FILE, b"file", b"text") + entry(LINK, b"link", b"file") + end
    return {
        "tree": tree,
        "cut": tree[:-40],
        "above": entry(FILE, b"../outside", b"bad"),
        "dots": entry(FOLDER, b"..") + entry(FILE, b"outside", b"bad") + end,
        "through": top + link + entry(FOLDER, b"way") + entry(FILE, b"outside", b"bad") + end + end,
        "onto": entry(LINK, b"f", b"../outside") + entry(FILE, b"f", b"bad"),
        "failed": top + entry(FAILED, b"top/file", size=13),
        "large": entry(FILE, b"file", size=1 << 40),
        "deep": top * 130,
    }
