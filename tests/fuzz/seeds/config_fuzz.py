# SPDX-License-Identifier: Apache-2.0
"""Seeds for config_fuzz: configurations, disk options and sizes, good and bad."""

EVERYTHING = b"""{
    "kernel": "vmlinuz", "initrd": "initrd.img", "append": "quiet", "command_line": "ro",
    "cpus": 4, "memory": "512M", "console": "virtio", "bus": "pci",
    "vsock": {"path": "v", "cid": 3},
    "nets": [{"user": true, "hostfwd": ["tcp:1:1"], "egress": "deny", "allow": ["a.test", "host:1"]}],
    "disks": [{"path": "root.img", "read_only": true, "serial": "ROOT"}, {"path": "b"}]
}"""


def seeds():
    return {
        "everything": EVERYTHING,
        "truncated": EVERYTHING[:-20],
        "empty-object": b"{}",
        "integer-memory": b'{"memory": 67108864}',
        "negative": b'{"cpus": -1, "memory": -1}',
        "unknown-key": b'{"memroy": "1G"}',
        "wrong-types": b'{"kernel": null, "disks": {}}',
        "duplicate": b'{"cpus": 1, "cpus": 1}',
        "disk-option": b"a,,b.img,ro,serial=x,,y",
        "size": b"65536K",
    }
