# SPDX-License-Identifier: Apache-2.0
"""One good kernel of each format, as small as it can be."""
import gzip
import struct

CODE = bytes(range(1, 129)) * 8
BASE = 0x100000


def bzimage():
    header = bytearray(1024)
    header[0x1F1] = 1  # setup_sects
    struct.pack_into("<I", header, 0x1F4, len(CODE) // 16)  # syssize
    struct.pack_into("<HH", header, 0x1FE, 0xAA55, 0x6AEB)  # boot_flag, jump
    struct.pack_into("<4sH", header, 0x202, b"HdrS", 0x020F)
    header[0x211] = 1  # loadflags: loaded high
    struct.pack_into("<IIBBH", header, 0x22C, 0x7FFFFFFF, 0x200000, 1, 21, 1)
    struct.pack_into("<I", header, 0x238, 2047)  # cmdline_size
    struct.pack_into("<QI", header, 0x258, 0x1000000, 0x300000)  # pref_address, init_size
    return bytes(header) + CODE


def pvh_note():
    return struct.pack("<III4sQ", 4, 8, 18, b"Xen\0", BASE + 0x20)


def elf64(with_note):
    note = pvh_note() if with_note else b""
    count = 2 if with_note else 1
    headers_end = 64 + 56 * count
    code_at = headers_end + len(note)
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    image = ident + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, BASE + 0x10, 64, 0, 0, 64, 56,
                                count, 0, 0, 0)
    image += struct.pack("<IIQQQQQQ", 1, 5, code_at, BASE, BASE, len(CODE), 4096, 4096)
    if with_note:
        image += struct.pack("<IIQQQQQQ", 4, 4, headers_end, 0, 0, len(note), len(note), 4)
    return image + note + CODE


def elf32():
    note = pvh_note()
    headers_end = 52 + 32 * 2
    code_at = headers_end + len(note)
    ident = b"\x7fELF\x01\x01\x01" + bytes(9)
    image = ident + struct.pack("<HHIIIIIHHHHHH", 2, 3, 1, BASE, 52, 0, 0, 52, 32, 2, 0, 0, 0)
    image += struct.pack("<IIIIIIII", 1, code_at, BASE, BASE, len(CODE), 4096, 5, 4096)
    image += struct.pack("<IIIIIIII", 4, headers_end, 0, 0, len(note), len(note), 4, 4)
    return image + note + CODE


def image():
    return struct.pack("<IIQQQQQQ4sI", 0xFA405A4D, 0x14000000, 0, 0x10000, 10, 0, 0, 0,
                       b"ARM\x64", 64) + CODE


def zboot():
    payload = gzip.compress(image(), mtime=0)
    return struct.pack("<4s4sII8x32s", b"MZ", b"zimg", 56, len(payload), b"gzip") + payload


def seeds():
    return {
        "bzimage": bzimage(),
        "elf64_pvh": elf64(True),
        "elf64_linux": elf64(False),
        "elf32_pvh": elf32(),
        "gzip": b"\x1f\x8b\x08" + bytes(100),
        "image": image(),
        "image_gzip": gzip.compress(image(), mtime=0),
        "image_zboot": zboot(),
    }
