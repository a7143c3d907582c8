# SPDX-License-Identifier: Apache-2.0
"""husk-net-user by itself: a guest made of single frames, on a socket pair."""
import os
import signal
import socket
import struct
import subprocess
import time

import guest

PROGRAM = os.environ.get("HUSK_NET_USER", "husk-net-user")

# A search for leaks traces the process, which no longer allows that.
ENVIRONMENT = {"ASAN_OPTIONS": "detect_leaks=0"}

MAC = bytes.fromhex("525400123456")
BROADCAST = b"\xff" * 6
ARP, IPV4 = 0x0806, 0x0800
ICMP, TCP, UDP = 1, 6, 17
SYN, RST, ACK = 0x02, 0x04, 0x10
GUEST, HOST, NAMESERVER, NOBODY = "10.0.2.15", "10.0.2.2", "10.0.2.3", "0.0.0.0"


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def ethernet(kind, payload, to=BROADCAST):
    return to + MAC + struct.pack(">H", kind) + payload


def arp(operation, target, target_mac=b"\0" * 6):
    return ethernet(ARP, struct.pack(">HHBBH", 1, IPV4, 6, 4, operation) + MAC +
                    socket.inet_aton(GUEST) + target_mac + socket.inet_aton(target))


def ipv4(protocol, source, to, payload):
    header = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 1, 0, 64, protocol, 0,
                         socket.inet_aton(source), socket.inet_aton(to))
    return ethernet(IPV4, header[:10] + struct.pack(">H", checksum(header)) + header[12:] + payload)


def udp(source, source_port, to, port, payload):
    return ipv4(UDP, source, to,
                struct.pack(">HHHH", source_port, port, 8 + len(payload), 0) + payload)


def tcp(source_port, to, port, flags, sequence=1000, acknowledged=0):
    segment = struct.pack(">HHIIBBHHH", source_port, port, sequence, acknowledged, 5 << 4, flags,
                          65535, 0, 0)
    pseudo = socket.inet_aton(GUEST) + socket.inet_aton(to) + struct.pack(">HH", TCP, len(segment))
    segment = segment[:16] + struct.pack(">H", checksum(pseudo + segment)) + segment[18:]
    return ipv4(TCP, GUEST, to, segment)


def dhcp(kind):
    fixed = struct.pack(">BBBBIHH4s4s4s4s16s64s128s", 1, 1, 6, 0, 0x1234, 0, 0, b"", b"", b"", b"",
                        MAC, b"", b"")
    return udp(NOBODY, 68, "255.255.255.255", 67,
               fixed + b"\x63\x82\x53\x63" + bytes([53, 1, kind, 255]) + b"\0" * 60)


def question(name, number=0x1234):
    """The message that asks for an address."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack(">HHHHHH", number, 0x100, 1, 0, 0, 0) + labels + b"\0\0\1\0\1"


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class NetUserTest(guest.GuestTest):
    def start_net(self, *arguments, under=()):
        """The program, with our ends of its two sockets: self.wire and self.said. `under` is a
        command that starts it.
        """
        self.wire, wire = socket.socketpair()
        self.said, said = socket.socketpair()
        for end in (self.wire, self.said):
            end.settimeout(guest.TIMEOUT)
            self.addCleanup(end.close)
        process = self.start_program(*under, PROGRAM, *arguments, stdin=wire, stdout=said, env=ENVIRONMENT)
        wire.close()
        said.close()
        return process

    def start_ready(self, *arguments, **options):
        process = self.start_net(*arguments, **options)
        said = self.read_until(self.said, b"ready\n").decode()
        self.assertTrue(all(line.startswith("note ") or line == "ready"
                            for line in said.splitlines()), said)
        return process

    def send(self, *frames):
        self.wire.sendall(b"".join(struct.pack(">I", len(frame)) + frame for frame in frames))

    def read_exactly(self, size):
        data = b""
        while len(data) < size:
            piece = self.wire.recv(size - len(data))
            if not piece:
                self.fail("the program has closed the connection")
            data += piece
        return data

    def receive(self, wanted):
        """The first frame for which wanted(frame) is true; requests for our address are answered.
        """
        while True:
            frame = self.read_exactly(struct.unpack(">I", self.read_exactly(4))[0])
            if wanted(frame):
                return frame
            if frame[12:14] == b"\x08\x06" and frame[20:22] == b"\0\x01":
                self.send(arp(2, HOST, frame[6:12]))

    def assert_fails(self, errno_name, *arguments, words=()):
        process = self.start_net(*arguments)
        said = b""
        while piece := self.said.recv(1000):
            said += piece
        self.assertNotEqual(process.wait(guest.TIMEOUT), 0)
        self.assertRegex(said.decode(), rf"^failed {getattr(__import__('errno'), errno_name)} .*\n$")
        for word in words:
            self.assertIn(word, said.decode())

    def memory_peak(self, process):
        """Bytes, by the most there were."""
        with open(f"/proc/{process.pid}/status", encoding="ascii") as status:
            return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM"))

    # --- what a guest sees ---

    def test_answers_arp_and_dhcp(self):
        self.start_ready()
        self.send(arp(1, HOST))
        answer = self.receive(lambda frame: frame[12:14] == b"\x08\x06")
        self.assertEqual(answer[28:32], socket.inet_aton(HOST))
        self.send(dhcp(1))
        offer = self.receive(lambda frame: frame[36:38] == struct.pack(">H", 68))
        self.assertEqual(offer[42 + 16:42 + 20], socket.inet_aton(GUEST))
        self.assertIn(bytes([53, 1, 2]), offer)  # DHCPOFFER
        self.assertIn(b"\x03\x04" + socket.inet_aton(HOST), offer)  # router
        self.assertIn(b"\x06\x04" + socket.inet_aton("10.0.2.3"), offer)  # name server

    def test_forwards_tcp_to_the_guest(self):
        port = free_port()
        self.start_ready("--hostfwd", f"tcp:{port}:22")
        with socket.create_connection(("127.0.0.1", port), guest.TIMEOUT):
            syn = self.receive(lambda frame: frame[23:24] == bytes([TCP]))
        self.assertEqual(syn[30:34], socket.inet_aton(GUEST))
        self.assertEqual(struct.unpack(">H", syn[36:38])[0], 22)
        self.assertEqual(syn[47], SYN)

    def test_many_connections_wait_for_a_forward(self):
        port = free_port()
        process = self.start_ready("--hostfwd", f"tcp:{port}:22")
        process.send_signal(signal.SIGSTOP)
        waiting = [socket.create_connection(("127.0.0.1", port), 1) for _ in range(20)]
        process.send_signal(signal.SIGCONT)
        for connection in waiting:
            connection.close()

    def test_forwards_datagrams_both_ways(self):
        port = free_port(socket.SOCK_DGRAM)
        self.start_ready("--hostfwd", f"udp:{port}:53")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as host:
            host.settimeout(guest.TIMEOUT)
            host.sendto(b"question", ("127.0.0.1", port))
            frame = self.receive(lambda frame: frame[-8:] == b"question")
            self.assertEqual(struct.unpack(">H", frame[36:38])[0], 53)
            source = struct.unpack(">H", frame[34:36])[0]
            self.send(udp(GUEST, 53, HOST, source, b"answer"))
            self.assertEqual(host.recv(100), b"answer")

    def connect_out(self, port):
        """The flags with which the network answers a SYN to the host, or None."""
        self.send(arp(1, HOST))  # so that it knows our address
        self.receive(lambda frame: frame[12:14] == b"\x08\x06")
        self.send(tcp(4000, HOST, port, SYN))
        self.send(arp(1, HOST))
        answer = self.receive(lambda frame: frame[12:14] == b"\x08\x06" or frame[23] == TCP)
        if answer[12:14] == b"\x08\x06" and not self.restricted:
            answer = self.receive(lambda frame: frame[12:14] == b"\x08\0" and frame[23] == TCP)
        return answer[47] if answer[12:14] == b"\x08\0" else None

    def test_reaches_the_host_unless_restricted(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            self.restricted = False
            self.start_ready()
            self.assertEqual(self.connect_out(port), SYN | ACK)
            server.accept()[0].close()
            self.restricted = True
            self.start_ready("--restrict")
            self.assertNotEqual(self.connect_out(port), SYN | ACK)
            server.settimeout(0.2)
            with self.assertRaises(TimeoutError):
                server.accept()

    # --- egress denied ---

    def meet(self):
        """So that the network knows our address."""
        self.send(arp(1, HOST))
        self.receive(lambda frame: frame[12:14] == b"\x08\x06")

    def flags_for(self, segment):
        """Those of the segment that answers ours."""
        self.send(segment)
        return self.receive(lambda frame: frame[23] == TCP)[47]

    def test_denies_connections_and_allows_some(self):
        with socket.create_server(("127.0.0.1", 0)) as allowed, \
                socket.create_server(("127.0.0.1", 0)) as denied:
            port, denied_port = (server.getsockname()[1] for server in (allowed, denied))
            denied.settimeout(0.2)
            self.start_ready("--egress", "deny", "--allow", "any", "--allow", f"tcp:host:{port}")
            self.meet()
            self.assertEqual(self.flags_for(tcp(4000, HOST, denied_port, SYN)), RST | ACK)
            for flags in (ACK, ACK | 0x08, 0x01):  # what makes no connection has no need to be denied
                self.assertTrue(self.flags_for(tcp(4001, HOST, denied_port, flags)) & RST)
            self.assertEqual(self.flags_for(tcp(4002, NAMESERVER, denied_port, SYN)), RST | ACK)
            self.assertEqual(self.flags_for(tcp(4003, "127.0.0.1", denied_port, SYN)), RST | ACK)
            with self.assertRaises(TimeoutError):
                denied.accept()
            self.assertEqual(self.flags_for(tcp(4004, HOST, port, SYN)), SYN | ACK)
            allowed.accept()[0].close()

    def test_denies_datagrams_and_allows_some(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as allowed, \
                socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as denied:
            for server in (allowed, denied):
                server.bind(("127.0.0.1", 0))
                server.settimeout(guest.TIMEOUT)
            self.start_ready("--allow", f"udp:host:{allowed.getsockname()[1]}")
            self.meet()
            self.send(udp(GUEST, 4000, HOST, denied.getsockname()[1], b"hello"))
            answer = self.receive(lambda frame: frame[23] == ICMP)
            self.assertEqual(answer[34:36], b"\3\x0d")  # administratively prohibited
            self.send(udp(GUEST, 4000, HOST, allowed.getsockname()[1], b"hello"))
            self.assertEqual(allowed.recv(100), b"hello")
            denied.setblocking(False)
            with self.assertRaises(BlockingIOError):
                denied.recv(100)

    def test_forwards_lead_in_though_nothing_leads_out(self):
        port, datagram_port = free_port(), free_port(socket.SOCK_DGRAM)
        self.start_ready("--egress", "deny", "--hostfwd", f"tcp:{port}:22", "--hostfwd",
                         f"udp:{datagram_port}:53")
        self.meet()
        with socket.create_connection(("127.0.0.1", port), guest.TIMEOUT):
            syn = self.receive(lambda frame: frame[23] == TCP)
            peer, _, sequence = struct.unpack(">HHI", syn[34:42])
            self.assertEqual(self.flags_for(tcp(22, HOST, peer, SYN | ACK,
                                                acknowledged=sequence + 1)), ACK)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as host:
            host.settimeout(guest.TIMEOUT)
            host.sendto(b"question", ("127.0.0.1", datagram_port))
            frame = self.receive(lambda frame: frame[-8:] == b"question")
            peer = struct.unpack(">H", frame[34:36])[0]
            self.send(udp(GUEST, 53, HOST, peer, b"answer"))
            self.assertEqual(host.recv(100), b"answer")

    def answer_to(self, message):
        """What the name server answers the guest."""
        self.send(udp(GUEST, 4000, NAMESERVER, 53, message))
        frame = self.receive(lambda frame: frame[23] == UDP)
        self.assertEqual(frame[26:34], socket.inet_aton(NAMESERVER) + socket.inet_aton(GUEST))
        return frame[42:]

    def test_refuses_names(self):
        self.start_ready("--allow", "192.0.2.0/24", "--allow", "*.allowed.test")
        for name in ("denied.test", "allowed.test", "x.allowed.test.denied.test"):
            answer = self.answer_to(question(name))
            self.assertEqual(answer[:4], b"\x12\x34\x81\x85")  # refused
            self.assertEqual(answer[12:], question(name)[12:])

    def test_asks_the_host_s_name_server(self):
        if os.geteuid() != 0 or not os.path.exists("/etc/resolv.conf"):
            self.skipTest("cannot give the program another /etc/resolv.conf")
        file = os.path.join(self.folder, "resolv.conf")
        with open(file, "w", encoding="ascii") as resolv_conf:
            resolv_conf.write("nameserver 127.0.0.78\n")
        script = f"mount --bind {file} /etc/resolv.conf && exec \"$@\""
        self.start_ready("--allow", "*.test", under=("unshare", "-m", "sh", "-c", script, "sh"))
        answer = self.answer_to(question("nobody.test"))
        self.assertEqual(answer[:4], b"\x12\x34\x81\x82")  # nobody listens: server failure
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server, \
                socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            server.bind(("127.0.0.78", 53))
            server.settimeout(guest.TIMEOUT)
            self.send(udp(GUEST, 4000, NAMESERVER, 53, question("a.test")))
            asked, peer = server.recvfrom(1000)
            self.assertEqual(asked[2:], question("a.test")[2:])
            record = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\7"
            body = b"\x81\x80\0\1\0\1\0\0\0\0" + asked[12:] + record
            stranger.sendto(asked[:2] + body, peer)  # of which nothing must come
            server.sendto(bytes([asked[0] ^ 1, asked[1]]) + body, peer)
            server.sendto(asked[:2] + body[:-1] + b"\x08", peer)
            frame = self.receive(lambda frame: frame[23] == UDP)
            self.assertEqual(frame[42:], b"\x12\x34" + body[:-1] + b"\x08")

    # --- the hostile guest ---

    def test_frames_that_are_none_end_it(self):
        for size in (0, 65601, 0xffffffff):
            process = self.start_ready()
            self.wire.sendall(struct.pack(">I", size))
            self.assertEqual(process.wait(guest.TIMEOUT), 1)

    def test_short_and_foolish_frames_do_not(self):
        for arguments in ((), ("--egress", "deny")):
            with self.subTest(arguments):
                self.check_foolish_frames(arguments)

    def check_foolish_frames(self, arguments):
        process = self.start_ready(*arguments)
        whole = tcp(4000, HOST, 9, SYN)
        self.send(*(whole[:size] for size in range(1, len(whole))))
        self.send(*(ethernet(kind, b"\xff" * 100) for kind in (ARP, IPV4, 0x86dd, 0x88f8)))
        self.send(arp(1, HOST))
        self.receive(lambda frame: frame[12:14] == b"\x08\x06")
        self.assertIsNone(process.poll())

    def test_a_guest_that_does_not_read_does_not_fill_memory(self):
        port = free_port(socket.SOCK_DGRAM)
        process = self.start_ready("--hostfwd", f"udp:{port}:53")
        self.send(arp(1, HOST))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as host:
            for _ in range(20000):
                host.sendto(b"x" * 1400, ("127.0.0.1", port))
        for _ in range(2000):
            self.send(*[arp(1, HOST)] * 100)
        if not guest.SANITIZED:
            self.assertLess(self.memory_peak(process), 16 << 20)
        self.assertIsNone(process.poll())

    def test_more_connections_than_descriptors_do_not_spin(self):
        for limit in (4096, 200):
            with self.subTest(limit=limit):
                self.check_spinning(("prlimit", f"--nofile={limit}:{limit}"))

    def check_spinning(self, under):
        port = free_port()
        process = self.start_ready("--hostfwd", f"tcp:{port}:22", under=under)
        with socket.create_server(("127.0.0.1", 0)) as server:
            for source in range(1200):
                self.send(tcp(10000 + source, HOST, server.getsockname()[1], SYN))
            with socket.create_connection(("127.0.0.1", port), guest.TIMEOUT):
                self.wire.setblocking(False)
                before = self.processor_time(process)
                time.sleep(0.5)
                self.assertLess(self.processor_time(process) - before, 0.25)
                self.assertIsNone(process.poll())

    def processor_time(self, process):
        with open(f"/proc/{process.pid}/stat", encoding="ascii") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    # --- its life ---

    def test_ends_with_its_peer(self):
        process = self.start_ready()
        self.wire.close()
        self.assertEqual(process.wait(guest.TIMEOUT), 0)

    def test_dies_with_its_parent_even_if_it_is_busy(self):
        process = self.start_ready()
        process.send_signal(signal.SIGSTOP)  # as good as busy: it reads nothing
        self.said.close()
        process.send_signal(signal.SIGCONT)
        self.assertEqual(process.wait(guest.TIMEOUT), -signal.SIGIO)

    def test_is_locked_down(self):
        process = self.start_ready()
        with open(f"/proc/{process.pid}/status", encoding="ascii") as file:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in file)
        self.assertEqual(status["Seccomp"], "2")
        self.assertEqual(status["NoNewPrivs"], "1")
        for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            self.assertEqual(int(status[kind], 16), 0, kind)
        if os.geteuid() == 0:
            self.assertEqual(status["Uid"].split(), ["65534"] * 4)
            self.assertEqual(int(status["CapBnd"], 16), 0)
            root = f"/proc/{process.pid}/root"
            self.assertEqual(os.listdir(root), ["etc"])
            self.assertLessEqual(set(os.listdir(root + "/etc")), {"resolv.conf"})

    # --- what is refused ---

    def test_says_what_is_wrong_with_its_options(self):
        self.assert_fails("EINVAL", "--hostfwd", "tcp:22", words=["hostfwd tcp:22", "is no forward"])
        self.assert_fails("EINVAL", "--mtu", "100", words=["mtu 100", "576 to 65520"])
        self.assert_fails("EINVAL", "--unknown", words=["--help"])
        self.assert_fails("ENOSPC", *["--hostfwd", "tcp:1:1"] * 65, words=["one too many"])
        self.assert_fails("EINVAL", "--egress", "no", words=["egress no", "deny"])
        self.assert_fails("EINVAL", "--allow", "127.0.0.1:1", words=["allow 127.0.0.1:1", "host:PORT"])
        self.assert_fails("ENOSPC", *["--allow", "any"] * 65, words=["one too many"])

    def test_says_which_port_is_taken(self):
        for kind, name in ((socket.SOCK_STREAM, "tcp"), (socket.SOCK_DGRAM, "udp")):
            with socket.socket(socket.AF_INET, kind) as taken:
                taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                taken.bind(("127.0.0.1", 0))
                if kind == socket.SOCK_STREAM:
                    taken.listen()
                port = taken.getsockname()[1]
                self.assert_fails("EADDRINUSE", "--hostfwd", f"{name}:{port}:22",
                                  words=[f"hostfwd {name}:127.0.0.1:{port}:10.0.2.15:22",
                                         f"port {port} is taken"])
        self.assert_fails("EADDRNOTAVAIL", "--hostfwd", "tcp:203.0.113.1:2222:22",
                          words=["does not have that address"])

    def test_needs_a_socket(self):
        run = subprocess.run([PROGRAM], stdin=subprocess.DEVNULL, capture_output=True, check=False,
                             timeout=guest.TIMEOUT)
        self.assertEqual(run.returncode, 1)
        self.assertIn(b"standard input is no stream socket", run.stdout)


if __name__ == "__main__":
    guest.main(needs_kvm=False)
