# SPDX-License-Identifier: Apache-2.0
"""Networks as a guest and the host see them: taps, stream sockets, and what goes wrong with them.

All of it happens in a network namespace that ends with this program, so nothing is left behind.
"""
import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
import time
import unittest

import guest

HOST, STATION, PORT, GOODBYE = "10.0.0.1", "10.0.0.2", 7, 9
TUNSETIFF, IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x400454CA, 2, 0x1000, 0x4000
INSIDE = "HUSK_TEST_NAMESPACE"


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True)


class Network(guest.GuestTest):
    def make_tap(self, *flags):
        ip("tuntap", "add", "tap0", "mode", "tap", *flags)
        self.addCleanup(subprocess.run, ["ip", "link", "del", "tap0"], stderr=subprocess.DEVNULL)
        ip("address", "add", f"{HOST}/24", "dev", "tap0")
        ip("link", "set", "tap0", "up")

    def start_station(self, words, *options):
        station = self.start_payload("net", words, *options)
        self.read_until(station.stdout, b"ready\n")
        return station

    def socket(self):
        """To the station; what was sent comes back."""
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(udp.close)
        udp.settimeout(guest.TIMEOUT)
        udp.connect((STATION, PORT))
        return udp

    def end_station(self, station):
        """Says goodbye, and returns what the station printed."""
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.sendto(b"", (STATION, GOODBYE))
        udp.close()
        result = self.finish(station)
        self.assertEqual((result.status, result.err), (guest.POWER_OFF, ""), result)
        self.assertIn("goodbye\n", result.out)
        self.assertNotIn("FAILED", result.out)
        return result


class Tap(Network):
    def check_echo(self, *options):
        station = self.start_station("x", "--net", "tap=tap0", *options)
        udp = self.socket()
        for size in (0, 1, 17, 100, 1000, 1471, 1472):
            datagram = bytes(i * 7 % 251 for i in range(size))
            udp.send(datagram)
            self.assertEqual(udp.recv(4096), datagram)
        self.end_station(station)

    def test_echo(self):
        self.make_tap()
        self.check_echo()

    def test_again_at_once(self):
        """An interface is free as soon as a machine has ended, however it did."""
        self.make_tap()
        for _ in range(10):
            station = self.start_station("x", "--net", "tap=tap0")
            udp = self.socket()
            for i in range(10):  # several at once go another way than one
                udp.send(b"%d" % i)
            for i in range(10):
                self.assertEqual(udp.recv(64), b"%d" % i)
            station.kill()
            station.communicate()

    def test_echo_on_an_iothread(self):
        self.make_tap()
        self.check_echo("--iothreads", "1")

    def test_a_multiqueue_tap_with_one_queue(self):
        self.make_tap("multi_queue")
        self.check_echo()

    def test_echo_on_pci(self):
        self.make_tap()
        self.check_echo("--bus", "pci")

    def test_several_queues(self):
        self.check_several_queues()

    def test_several_queues_on_pci(self):
        self.check_several_queues("--bus", "pci")

    def check_several_queues(self, *options):
        self.make_tap("multi_queue")
        stats = self.path("stats.json")
        station = self.start_station("pairs", "--net", "tap=tap0,queues=2", "--iothreads", "2",
                                     "--stats", stats, *options)
        sockets = [self.socket() for _ in range(16)]  # flows, which are spread by their hash
        for number in range(5):
            for i, udp in enumerate(sockets):
                udp.send(b"%d %d" % (number, i))
            for i, udp in enumerate(sockets):
                self.assertEqual(udp.recv(64), b"%d %d" % (number, i))
        self.end_station(station)
        with open(stats, encoding="utf-8") as file:
            queues = json.load(file)["devices"][0]["queues"]
        for queue in queues[:4]:
            self.assertGreater(queue["frames"], 0)
            self.assertEqual(queue["dropped"], 0)
        self.assertEqual(queues[4]["chains"], 1)

    def test_refused_features(self):
        self.make_tap("multi_queue")
        station = self.start_payload("net", "refuse", "--net", "tap=tap0,queues=2")
        rounds, out = 0, b""
        while b"refused=" not in out:
            out += self.read_until(station.stdout, b"\n")
            if out.count(b"ready\n") > rounds:
                rounds += 1
                self.check_round(rounds)
        result = self.finish(station)
        self.assertEqual((result.status, result.err), (guest.POWER_OFF, ""), result)
        self.assertNotIn(b"FAILED", out)
        refused = int((out + result.out.encode()).split(b"refused=")[1].split()[0], 16)
        self.assertEqual(rounds, refused + 2)
        self.assertGreater(refused, 15)

    def check_round(self, number):
        udp = self.socket()
        for size in (10, 1472):
            datagram = b"%d" % number * size
            udp.send(datagram[:size])
            self.assertEqual(udp.recv(4096), datagram[:size])
        udp.connect((STATION, GOODBYE))
        udp.send(b"")

    def test_exhaustion(self):
        """Many more frames than the guest has buffers for, and none of them is lost."""
        self.make_tap()
        station = self.start_station("starve", "--net", "tap=tap0")
        udp = self.socket()
        udp.send(b"first")  # and with it ARP
        self.assertEqual(udp.recv(64), b"first")
        for i in range(100):
            udp.send(b"%d" % i)
        for i in range(100):
            self.assertEqual(udp.recv(64), b"%d" % i)
        self.end_station(station)

    def test_limits(self):
        self.make_tap()
        station = self.start_station("x", "--net", "tap=tap0,tx_pps=20,tx_pps_burst=1")
        udp = self.socket()
        udp.send(b"0")
        self.assertEqual(udp.recv(64), b"0")
        begun = time.monotonic()
        for i in range(10):
            udp.send(b"%d" % i)
        for i in range(10):
            self.assertEqual(udp.recv(64), b"%d" % i)
        self.assertGreater(time.monotonic() - begun, 0.4)  # at 20 a second, and 1 at once
        self.end_station(station)

    def test_a_tap_that_goes(self):
        self.make_tap()
        station = self.start_station("x", "--net", "tap=tap0")
        ip("link", "del", "tap0")
        result = self.finish(station)
        self.assertEqual(result.status, guest.POWER_OFF, result)
        self.assertIn("link down\n", result.out)
        self.assertEqual(result.err.count("\n"), 1, result)
        self.assertIn("tap0: the interface is gone", result.err)

    def test_a_descriptor(self):
        self.make_tap()
        with open("/dev/net/tun", "r+b", buffering=0) as tun:
            fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", b"tap0",
                                                    IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))
            station = self.start_payload("net", "x", "--net", f"fd={tun.fileno()}",
                                         pass_fds=[tun.fileno()])
        self.read_until(station.stdout, b"ready\n")
        udp = self.socket()
        udp.send(b"hello")
        self.assertEqual(udp.recv(64), b"hello")
        self.end_station(station)


class Stream(Network):
    """The test is the peer, and the whole network of the station."""

    def listen(self):
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.addCleanup(server.close)
        server.settimeout(guest.TIMEOUT)
        server.bind(self.path("socket"))
        server.listen()
        return server

    def connect(self):
        server = self.listen()
        station = self.start_payload("net", "x", "--net", f"stream={self.path('socket')}")
        peer = server.accept()[0]
        self.addCleanup(peer.close)
        peer.settimeout(guest.TIMEOUT)
        self.read_until(station.stdout, b"ready\n")
        return station, peer

    def datagram(self, content, port=PORT):
        ends = socket.inet_aton(HOST) + socket.inet_aton(STATION)
        return (b"\xff" * 6 + b"\x02\0\0\0\0\x01" + b"\x08\0" +
                struct.pack(">BBHHHBBH", 0x45, 0, 28 + len(content), 0, 0, 64, 17, 0) + ends +
                struct.pack(">HHHH", 4000, port, 8 + len(content), 0) + content)

    def send(self, peer, *frames):
        peer.sendall(b"".join(struct.pack(">I", len(frame)) + frame for frame in frames))

    def receive(self, peer):
        """The content of the next frame that comes back."""
        size, = struct.unpack(">I", peer.recv(4, socket.MSG_WAITALL))
        return peer.recv(size, socket.MSG_WAITALL)[42:]

    def test_echo(self):
        station, peer = self.connect()
        contents = [b"%d" % i * (1 + 40 * i) for i in range(10)]
        self.send(peer, *[self.datagram(content) for content in contents])
        for content in contents:
            self.assertEqual(self.receive(peer), content)
        self.send(peer, self.datagram(b"", GOODBYE))
        result = self.finish(station)
        self.assertEqual((result.status, result.err), (guest.POWER_OFF, ""), result)

    def check_end(self, station, reason):
        result = self.finish(station)
        self.assertEqual(result.status, guest.POWER_OFF, result)
        self.assertIn("link down\n", result.out)
        self.assertEqual(result.err.count("\n"), 1, result)
        self.assertIn(reason, result.err)

    def test_a_peer_that_goes(self):
        station, peer = self.connect()
        peer.close()
        self.check_end(station, "the peer is gone")

    def test_a_peer_that_cheats(self):
        station, peer = self.connect()
        peer.sendall(b"\xff" * 100)
        self.check_end(station, "impossible length")

    def test_nobody_listens(self):
        result = self.run_payload("net", "x", "--net", f"stream={self.path('none')}")
        self.assert_one_line(result, guest.USAGE, self.path("none"), "start what listens there")


class Refusals(Network):
    """What cannot be had is said in one line, and is as it was afterwards."""

    def refuse(self, option, *words):
        result = self.run_payload("net", "x", "--net", option)
        self.assert_one_line(result, guest.USAGE, *words)

    def test_a_missing_tap_is_not_made(self):
        self.refuse("tap=nobody", '"nobody"', "does not exist", "ip tuntap add nobody")
        self.assertNotIn("nobody", os.listdir("/proc/sys/net/ipv4/conf"))

    def test_a_tap_in_use(self):
        self.make_tap()
        station = self.start_station("x", "--net", "tap=tap0")
        self.refuse("tap=tap0", '"tap0"', "in use by another program")
        self.socket().send(b"")  # the first one is not disturbed
        self.end_station(station)

    def test_a_tap_of_another_user(self):
        self.make_tap("user", "1")
        result = self.finish(self.start_program(
            "setpriv", "--bounding-set=-all", "--inh-caps=-all", guest.HUSK, "run",
            guest.payload("net"), "--net", "tap=tap0"))
        self.assert_one_line(result, guest.USAGE, '"tap0"', "belongs to another user")

    def test_no_tap_at_all(self):
        self.refuse("tap=lo", '"lo"', "is no tap interface")

    def test_too_few_queues(self):
        self.make_tap()
        self.refuse("tap=tap0,queues=2", '"tap0"', "multi_queue")

    def test_descriptors(self):
        self.refuse("fd=0", "fd 0", "neither a tap interface's nor a stream socket")
        self.refuse("fd=1000", "fd 1000")

    def test_options(self):
        for option, word in (("tap=tap0,queues=0", "queues: 0"), ("tap=tap0,queue=2", '"queues"?'),
                             ("tap=tap0,mac=1", "mac: "), ("tap=tap0,mtu=67", "mtu: 67"),
                             ("tap=tap0,rx_bps=0", "rx_bps: 0"), ("tup=tap0", "tap=NAME"),
                             ("tap=", "tap: "), ("stream=x,queues=2", "queues: "),
                             ("tap=tap0,tx_pps_burst=1", "tx: ")):
            self.refuse(option, word)


if __name__ == "__main__":
    if INSIDE not in os.environ:
        os.environ[INSIDE] = "1"
        os.execvp("unshare", ["unshare", "-n" if os.geteuid() == 0 else "-rn", sys.executable,
                              "-B", *sys.argv])
    guest.main()
