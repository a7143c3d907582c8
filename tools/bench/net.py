# SPDX-License-Identifier: Apache-2.0
"""
net: a network's I/O path on this machine's own KVM, driven from guest user mode at native speed.

Every contestant gets the same guest (guest/net.c), one vCPU, and a tap interface in a network
namespace that the benchmark makes for itself and that ends with it. Sending is measured for a
fixed time; the frames are addressed to nobody, so that the host drops them at once. To receive,
the interface's queue is filled while the guest offers no buffers, and then it is timed how fast
the frames reach the guest, in several rounds: no sender competes for the processors. No monitor
uses vhost here.
"""
import ctypes
import os
import socket
import struct
import subprocess
from pathlib import Path

import guests
import host
from report import Figure, Report, Result

DESCRIPTION = "a tap network's I/O path, native: frames and bits a second: Husk and QEMU"
DEFAULT_RUNS = 10
HUSK = "Husk"
TAP = "husk-bench"
LARGE = 54 + 45 * 1448  # the most whole TCP segments in 64 KiB
SIZES = {64: "64 B", 1500: "1500 B", LARGE: "64 KiB"}
CASES = [f"{direction}:{size}" for direction in ("send", "receive") for size in SIZES]
FRAMES, ROUNDS = 4000, 5  # in the interface's queue, to be received, how often
COUNTED = "send:1500"
COUNTS = 3  # counts vary little
COUNTED_FRAMES = (5_000, 35_000)

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
SOL_PACKET = 263
PACKET_VNET_HDR, PACKET_QDISC_BYPASS = 15, 20

NOTES = [
    "Median (p10..p90). Send: from the guest to the host, and receive the other way. 64 KiB frames",
    "are TCP segments that nobody has cut yet (GSO); bits are of frames without virtio's header.",
    "\"a frame\": when sending 1500 B, with interrupts: system calls of the whole monitor and",
    "exits of the guest to it; with virtio-mmio the guest acknowledges when it finds completions.",
]


def add_arguments(parser):
    parser.add_argument("--seconds", type=float, default=0.2, metavar="S",
                        help="how long each case that sends is measured (default %(default)s)")
    parser.add_argument("--cases", default="", metavar="TEXT",
                        help="only cases with this in their name, such as receive")


# --- the host's side of the network ---

def enter_namespace():
    """A network namespace for this process and its children; no privilege where users may."""
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.getuid(), os.getgid()
    if libc.unshare(CLONE_NEWNET) == 0:
        return
    if libc.unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0:
        raise SystemExit(f"bench: no network namespace: {os.strerror(ctypes.get_errno())}; "
                         "be root, or allow user namespaces")
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1", encoding="ascii")


def renew_tap():
    """
    A fresh interface, for each run: one that the last monitor had may be busy for a moment after
    its end. Its queue takes all frames of a case; nothing but the benchmark sends to it.
    """
    Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text("1", encoding="ascii")
    subprocess.run(["ip", "link", "del", "dev", TAP], stderr=subprocess.DEVNULL, check=False)
    for words in (f"tuntap add dev {TAP} mode tap vnet_hdr",
                  f"link set dev {TAP} txqueuelen {2 * FRAMES}",
                  f"link set dev {TAP} up"):
        subprocess.run(["ip", *words.split()], check=True)


def frame(size):
    """virtio's header and a frame of so many bytes: TCP to nobody, as guest/net.c has it."""
    header = struct.pack("<BBHHHH", 1, 1, 54, 1448, 34, 16) if size > 1514 else bytes(10)
    ethernet = bytes.fromhex("020000000099 020000000001 0800")
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, size - 14, 0, 0, 64, 6, 0,
                     bytes((198, 51, 100, 1)), bytes((198, 51, 100, 2)))
    tcp = struct.pack(">HHIIBBHHH", 0, 0, 0, 0, 5 << 4, 0x10, 0, 0, 0)
    return header + (ethernet + ip + tcp).ljust(size, b"\0")


def fill_queue(size, count):
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as packets:
        packets.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        packets.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 1)
        packets.bind((TAP, 0))
        whole = frame(size)
        for _ in range(count):
            try:
                packets.send(whole)
            except OSError:
                return  # the queue is full


# --- what is measured ---

def figures_of(cases):
    figures = {}
    for case in cases:
        direction, size = case.split(":")
        title = f"{direction} {SIZES[int(size)]}"
        figures[case] = Figure(title, "k frames/s", 1)
        figures[case + "/bits"] = Figure(title, "Gbit/s", 2)
    figures["syscalls"] = Figure("syscalls a frame", "", 3)
    figures["exits"] = Figure("exits a frame", "", 3)
    return figures


def values_of(case, values, frequency):
    """The figures that one result line makes."""
    size = int(case.split(":")[1])
    if not values["frames"] or not values["cycles"]:
        raise guests.Failure(f"{case}: no frame came through")
    if values["bytes"] != values["frames"] * size:
        raise guests.Failure(f"{case}: {values['frames']} frames had {values['bytes']} bytes")
    seconds = values["cycles"] / frequency
    return {case: values["frames"] / seconds / 1e3,
            case + "/bits": values["bytes"] * 8 / seconds / 1e9}


def _received_by_host():
    """How many frames the host's interface had from the guest."""
    return int(Path("/proc/self/net/dev").read_text(encoding="ascii")
               .partition(f"{TAP}:")[2].split()[1])


# --- contestants ---

def make_contestants(husk, monitors, guest, with_pci):
    """(Result, where its devices are) of each; a Result's command lacks the guest's options."""
    network = ("--net", f"tap={TAP}")
    made = [(Result(HUSK, guests.husk(husk, guest, *network)), guests.HUSK_MMIO)]
    if with_pci:
        made.append((Result(f"{HUSK}, PCI", guests.husk(husk, guest, "--bus", "pci", *network)),
                     guests.HUSK_PCI))
    for machine, device, place in (
            ("microvm", "virtio-net-device", guests.MICROVM_MMIO),
            ("q35", "virtio-net-pci,disable-legacy=on,romfile=", guests.QEMU_PCI)):
        if monitors["QEMU"]:
            made.append((Result(f"QEMU {machine}", guests.qemu(
                monitors["QEMU"], machine, guest, "-netdev",
                f"tap,id=n,ifname={TAP},script=no,downscript=no,vhost=off",
                "-device", f"{device},netdev=n")), place))
    return made


# --- measuring ---

def _on_wait(guest):
    """`guest.last` is "wait receive:SIZE", or "ready ..."."""
    kind, words, _ = guests.parse(guest.last)
    if kind == "wait":
        size = int(words[0].split(":")[1])
        fill_queue(size, FRAMES)


def _run_once(contestant, options, cases):
    """Figures of all cases; none, and the contestant is out, if anything went wrong."""
    result, place = contestant
    cycles = int(options.seconds * guests.cycles_a_second())
    words = " ".join([place, f"cycles={cycles} frames={FRAMES} rounds={ROUNDS}",
                      *(f"case={case}" for case in cases)])
    renew_tap()
    figures, sent = {}, 0
    try:
        lines, frequency = guests.run(result.command, words, options.limit, _on_wait)
        for (case,), values in lines:
            figures.update(values_of(case, values, frequency))
            sent += values["frames"] if case.startswith("send") else 0
        if _received_by_host() < sent:
            raise guests.Failure("frames are missing on the host")
    except guests.Failure as failure:
        result.failure = str(failure)
        return {}
    return figures


def _count(contestant, options):
    """Two runs of different length: what differs is what the frames cost."""
    result, place = contestant
    seen = []
    for frames in COUNTED_FRAMES:
        renew_tap()
        words = f"{place} frames={frames} interrupts=1 case={COUNTED}"
        [(_, values)], counts = guests.count(result.command, words, options.limit)
        seen.append((values["frames"], counts))
    guests.add_counts(result, *seen)


def measure(options, progress):
    """The report of a whole benchmark; SystemExit if this machine cannot run it."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        raise SystemExit("bench: net needs a /dev/kvm that this user may open; "
                         "'husk doctor' says what is wrong")
    cases = [case for case in CASES if options.cases in case]
    if not cases:
        raise SystemExit(f"bench: no case has {options.cases} in its name, "
                         f"as {CASES[0]} would; leave --cases out for all")
    options.limit = 30 + len(cases) * options.seconds * 5
    monitors = {"QEMU": host.find_monitors()["QEMU"]}
    machine, notes = host.machine(), list(NOTES)
    can_count = guests.can_count()
    enter_namespace()
    contestants = make_contestants(
        str(options.husk), monitors, str(options.build / "tools/bench/guest/net.elf"),
        guests.husk_has(options.husk, "--bus"))
    with guests.alone(progress):
        guests.take_turns(contestants, options.runs, progress, "net",
                          lambda contestant: _run_once(contestant, options, cases))
        if can_count:
            guests.count_all(contestants, min(options.runs, COUNTS), progress, "net",
                             lambda contestant: _count(contestant, options))
        else:
            notes.append("Nothing was counted: that takes perf and tracepoints (be root).")
    results = [result for result, _ in contestants]
    figures = {name: figure for name, figure in figures_of(cases).items()
               if any(name in result.samples for result in results) or name == cases[0]}
    return Report(
        benchmark="net", title="net: a tap network, native KVM", figures=figures,
        results=results, ratios=guests.ratios_of(results, figures, HUSK, "QEMU"), bar=[cases[0]],
        runs=options.runs, versions=host.versions(options.husk, monitors), machine=machine,
        missing=[name for name, program in monitors.items() if not program], notes=notes,
        by_figure=True)
