# SPDX-License-Identifier: Apache-2.0
"""Room, defaults, NUL, user text: the cases that the rules of overriding speak about."""


def seeds():
    cases = [
        (b"console=ttyS0 quiet panic=1", b"panic=5 loglevel=7"),
        (b'a="1 2" rw', b'ro b="x a=2" -- a=3'),
        (b"8250.nr_uarts=1", b"8250.nr-uarts=4"),
        (b"", b"  spaces \t everywhere  "),
    ]
    return {
        f"case{i}": bytes([200]) + defaults + b"\0" + user
        for i, (defaults, user) in enumerate(cases)
    }
