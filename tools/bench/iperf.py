# SPDX-License-Identifier: Apache-2.0
"""
iperf: a stock Debian kernel's network in the lab, loaded by iperf3, Husk beside QEMU.

Contestants take turns in one lab; each boots Debian's kernel with one vCPU and has TCP to an
iperf3 server on the lab's host, in a network namespace of the benchmark's own: over a tap, over a
tap with vhost-net, and in user mode. "Send" is from the guest to the host. The lab is emulated:
its times are long, its ratios hold.
"""
import re
import subprocess
import sys
import time

import guests
import host
import net
import workload
from report import Figure, Result

DESCRIPTION = "a Debian guest's TCP by iperf3, in the lab: tap, vhost-net, user mode: Husk, QEMU"
DEFAULT_RUNS = 3
PROGRAM = "iperf3"
TAP = "tap0"

ON_TAP = "bench.address=10.0.0.2/24 bench.server=10.0.0.1"
IN_USER_MODE = "bench.address=10.0.2.15/24 bench.server=10.0.2.2"

SCRIPT = """\
for word in $(cat /proc/cmdline); do
    case $word in
    bench.address=*) address=${word#*=};;
    bench.server=*) server=${word#*=};;
    esac
done
ip link set lo up
ip link set eth0 up
ip address add "$address" dev eth0
echo "case send"
iperf3 -c "$server" -t 3 -O 1 -f k < /dev/null
echo "case receive"
iperf3 -c "$server" -t 3 -O 1 -f k -R < /dev/null
reboot -f
"""

FIGURES = {
    "send": Figure("send", "Mbit/s"),
    "receive": Figure("receive", "Mbit/s"),
}

PAIRS = [
    ("Husk tap", "QEMU tap"), ("Husk, PCI tap", "QEMU, PCI tap"),
    ("Husk vhost", "QEMU vhost"), ("Husk, PCI vhost", "QEMU, PCI vhost"),
    ("Husk user", "QEMU user"), ("Husk, PCI user", "QEMU, PCI user"),
]

NOTES = [
    "Median (p10..p90). One vCPU, one TCP stream. Send: from the guest to the host.",
]

add_arguments = workload.add_arguments
_servers = []


def values_of(output):
    """The figures in what a guest has said: what arrived in each direction."""
    figures = {}
    for part in output.split("case ")[1:]:
        case = part.split("\n", 1)[0]
        arrived = re.search(r"([\d.]+) Kbits/sec.*receiver", part)
        if case in FIGURES and arrived:
            figures[case] = float(arrived[1]) / 1e3
    return figures


def prepare(_):
    """A namespace with a tap, and a server on it and on loopback."""
    subprocess.run(["modprobe", "-a", "tun", "vhost_net"], check=False)
    net.enter_namespace()
    for words in ("link set dev lo up", f"tuntap add dev {TAP} mode tap vnet_hdr",
                  f"address add 10.0.0.1/24 dev {TAP}", f"link set dev {TAP} up"):
        subprocess.run(["ip", *words.split()], check=True)
    _servers.append(subprocess.Popen([PROGRAM, "-s"], stdout=subprocess.DEVNULL))
    time.sleep(1)  # a server that is late only makes the first guest's connection fail
    return {}


def finish():
    for server in _servers:
        server.kill()
        server.wait()


def make_contestants(husk, monitors, husk_has):
    """`husk_has(word)`: whether this husk knows an option."""
    contestants = []
    buses = [("Husk", [])] + ([("Husk, PCI", ["--bus", "pci"])] if husk_has("--bus") else [])
    networks = [("tap", f"tap={TAP}", ON_TAP), ("user", "user", IN_USER_MODE)]
    if husk_has("vhost"):
        networks.insert(1, ("vhost", f"tap={TAP},vhost=on", ON_TAP))
    for name, bus in buses:
        contestants += [Result(f"{name} {kind}", workload.husk(husk, *bus, "--net", network,
                                                               words=words))
                        for kind, network, words in networks]
    tap = f"tap,id=n,ifname={TAP},script=no,downscript=no"
    networks = [("tap", f"{tap},vhost=off", ON_TAP), ("vhost", f"{tap},vhost=on", ON_TAP),
                ("user", "user,id=n", IN_USER_MODE)]
    for name, machine, device in (
            ("QEMU", workload.QEMU_MICROVM, "virtio-net-device"),
            ("QEMU, PCI", workload.QEMU_PCI, "virtio-net-pci,disable-legacy=on,romfile=")):
        contestants += [Result(f"{name} {kind}", workload.qemu(
            monitors["QEMU"], machine, "-netdev", netdev, "-device", f"{device},netdev=n",
            words=words)) for kind, netdev, words in networks if monitors["QEMU"]]
    return contestants


def _ratios(_):
    return [(figure, ours, theirs) for figure in FIGURES for ours, theirs in PAIRS]


def measure(options, progress):
    """The report of a whole benchmark; SystemExit if the lab does not run it."""
    workload.need(PROGRAM)
    contestants = make_contestants(options.husk, host.find_monitors(),
                                   lambda word: guests.husk_has(options.husk, word))
    return workload.measure(
        options, progress, sys.modules[__name__], contestants, _ratios,
        title="iperf: TCP of a stock Debian kernel, in the lab", figures=FIGURES,
        bar=["receive"], notes=[*NOTES, f"iperf3 is {host.version(PROGRAM)}."])
