# SPDX-License-Identifier: Apache-2.0
"""
block: a disk's I/O path on this machine's own KVM, driven from guest user mode at native speed.

Every contestant gets the same guest (guest/block.c), one vCPU, and the same image, whose content
the host has in its page cache. The guest polls for completions and takes no interrupts; each case
is measured for a fixed time after a warm-up, by the guest's TSC. Contestants take turns, run by
run; QEMU has its best settings in several combinations, and for each figure the best of them is
compared with. What a monitor does for a request is counted in runs of their own, in which the
guest causes and acknowledges interrupts as a driver that sleeps would.
"""
import os
import struct
import tempfile
from pathlib import Path

import guests
import host
from report import Figure, Report, Result

DESCRIPTION = "a disk's I/O path, native: operations a second, latency, exits: Husk and QEMU"
DEFAULT_RUNS = 10
HUSK = "Husk"
IMAGE_SIZE = 256 << 20
BLOCK = 4096
COUNTED = "read:random:4096:32"
COUNTS = 3  # counts vary little
COUNTED_REQUESTS = (5_000, 35_000)
# More queues (each with a thread in Husk), more disks; what one queue of one disk is compared with.
SHAPES = {"2 queues": {"queues": 2}, "8 disks": {"disks": 8}}
SIZES, DEPTHS = (4096, 128 << 10), (1, 32, 128)

CASES = [f"{operation}:{order}:{size}:{depth}"
         for operation in ("read", "write") for order in ("random", "sequential")
         for size in SIZES for depth in DEPTHS]

NOTES = [
    "Median (p10..p90). IOPS in thousands, throughput in MiB/s; latencies at depth 1, submission",
    "to completion as the guest sees it. The image is a file in the page cache; all have",
    "writeback caching. \"a request\": at 4 KiB, depth 32, random reads, with interrupts: system",
    "calls of the whole monitor, exits of the guest to it, and kicks (without interrupts). With",
    "virtio-mmio the guest acknowledges whenever it finds completions. \"N / 1\": beside one",
    "queue of one disk; each queue and each disk has 32 requests in flight.",
]


def add_arguments(parser):
    parser.add_argument("--seconds", type=float, default=0.1, metavar="S",
                        help="how long each case is measured (default %(default)s)")
    parser.add_argument("--cases", default="", metavar="TEXT",
                        help="only cases with this in their name, such as read:random:4096")
    parser.add_argument("--packed", action="store_true",
                        help="drive Husk by packed rings as well")
    parser.add_argument("--folder", type=Path, metavar="DIR",
                        help="where to make the image (default: the folder for temporary files)")


# --- what is measured ---

def _title(case):
    operation, order, size, depth = case.split(":")
    return f"{operation} {order} {int(size) >> 10}K x{depth}"


def figures_of(cases):
    """Throughput for large requests, operations for small ones, and latency at depth 1."""
    figures = {}
    for case in cases:
        large = int(case.split(":")[2]) > 4096
        figures[case] = Figure(_title(case), "MiB/s" if large else "kIOPS", 0 if large else 1)
    for case in cases:
        if case.endswith(":1"):
            figures[case + "/p50"] = Figure(_title(case) + " p50", "us", 1)
            figures[case + "/p99"] = Figure(_title(case) + " p99", "us", 1)
    for name in SHAPES if COUNTED in cases else ():
        figures[name] = Figure(f"{_title(COUNTED)}, {name}", "kIOPS", 1)
        figures[name + " / 1"] = Figure(f"{name} / 1", "", 2)
    figures["kicks"] = Figure("kicks a request", "", 3)
    figures["syscalls"] = Figure("syscalls a request", "", 3)
    figures["exits"] = Figure("exits a request", "", 3)
    return figures


def values_of(case, values, frequency):
    """The figures that one result line makes."""
    if values["errors"]:
        raise guests.Failure(f"{case}: {values['errors']} of {values['requests']} went wrong")
    if not values["requests"]:
        raise guests.Failure(f"{case}: nothing came back in time")
    size = int(case.split(":")[2])
    rate = values["requests"] * frequency / values["cycles"]
    found = {case: rate * size / (1 << 20) if size > 4096 else rate / 1e3}
    if case.endswith(":1"):
        found[case + "/p50"] = values["p50"] * 1e6 / frequency
        found[case + "/p99"] = values["p99"] * 1e6 / frequency
    if case == COUNTED:
        found["kicks"] = values["kicks"] / values["requests"]
    return found


# --- contestants ---

class Husk:
    """The commands of one kind of Husk; with several disks they share an image, read-only."""

    def __init__(self, program, guest, pci=False, packed=False):
        self.name = HUSK + (", PCI" if pci else "") + (", packed" if packed else "")
        self.place = ((guests.HUSK_PCI if pci else guests.HUSK_MMIO)
                      + (" packed=1" if packed else ""))
        self._program, self._guest = program, guest
        self._options = ((["--bus", "pci"] if pci else [])
                         + (["--rings", "packed"] if packed else []))

    def command(self, image, disks=1, queues=1):
        disk = image + (",ro" if disks > 1 else "") + (f",queues={queues}" if queues > 1 else "")
        options = ["--disk", disk] * disks + (["--iothreads", str(queues)] if queues > 1 else [])
        return guests.husk(self._program, self._guest, *self._options, *options)


class Qemu:
    """The same of one kind of QEMU, whose disks have one iothread between them, or none."""

    def __init__(self, program, guest, machine, iothread):
        pci = machine != "microvm"
        self.name = f"QEMU {machine}{' iothread' if iothread else ''}"
        self.place = guests.QEMU_PCI if pci else guests.MICROVM_MMIO
        self._program, self._guest, self._machine, self._iothread = (
            program, guest, machine, iothread)
        self._device = "virtio-blk-pci,disable-legacy=on" if pci else "virtio-blk-device"

    def command(self, image, disks=1, queues=1):
        options = ["-object", "iothread,id=io"] if self._iothread else []
        for index in range(disks):
            options += ["-blockdev",
                        f"driver=file,node-name=d{index},filename={image},aio=io_uring,"
                        f"cache.direct=off,read-only={'on' if disks > 1 else 'off'}",
                        "-device", f"{self._device},drive=d{index},num-queues={queues}"
                        + (",iothread=io" if self._iothread else "")]
        return guests.qemu(self._program, self._machine, self._guest, *options)


def make_contestants(husk, monitors, guest, image, with_pci, packed=False):
    """(Result, Husk or Qemu) of each; a Result's command lacks the guest's options."""
    makers = [Husk(husk, guest, pci, rings) for rings in ([False, True] if packed else [False])
              for pci in ([False, True] if with_pci else [False])]
    if monitors["QEMU"]:
        makers += [Qemu(monitors["QEMU"], guest, machine, iothread)
                   for machine in ("microvm", "q35") for iothread in (True, False)]
    return [(Result(maker.name, maker.command(image)), maker) for maker in makers]


# --- measuring ---

def make_image(path):
    """Each block starts with its own offset, so that the guest knows what it reads."""
    rest = bytes(BLOCK - 8)
    with open(path, "wb") as image:
        for offset in range(0, IMAGE_SIZE, BLOCK):
            image.write(struct.pack("<Q", offset) + rest)
    return str(path)


def _run(command, maker, words, options):
    """Figures of all cases in `words`."""
    figures = {}
    words = f"{maker.place} size={IMAGE_SIZE} {words}"
    lines, frequency = guests.run(command, words, options.limit)
    for (case,), values in lines:
        figures.update(values_of(case, values, frequency))
    return figures


def _run_once(contestant, options, image, cases):
    """Figures of all cases; none, and the contestant is out, if anything went wrong."""
    result, maker = contestant
    time = f"cycles={int(options.seconds * guests.cycles_a_second())}"
    try:
        figures = _run(result.command, maker,
                       " ".join([time, *(f"case={case}" for case in cases)]), options)
        for name, shape in SHAPES.items() if COUNTED in cases else ():
            words = " ".join([time, f"case={COUNTED}", *(f"{k}={v}" for k, v in shape.items())])
            scaled = _run(maker.command(image, **shape), maker, words, options)
            figures[name] = scaled[COUNTED]
            figures[name + " / 1"] = scaled[COUNTED] / figures[COUNTED]
    except guests.Failure as failure:
        result.failure = str(failure)
        return {}
    return figures


def _count(contestant, options):
    """Two runs of different length: what differs is what the requests cost."""
    result, maker = contestant
    seen = []
    for requests in COUNTED_REQUESTS:
        words = f"{maker.place} size={IMAGE_SIZE} requests={requests} interrupts=1 case={COUNTED}"
        [(_, values)], counts = guests.count(result.command, words, options.limit)
        seen.append((values["requests"], counts))
    guests.add_counts(result, *seen)


def measure(options, progress):
    """The report of a whole benchmark; SystemExit if this machine cannot run it."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        raise SystemExit("bench: block needs a /dev/kvm that this user may open; "
                         "'husk doctor' says what is wrong")
    cases = [case for case in CASES if options.cases in case]
    if not cases:
        raise SystemExit(f"bench: no case has {options.cases} in its name, "
                         f"as {CASES[0]} would; leave --cases out for all")
    options.limit = 20 + len(cases) * options.seconds * 5
    guest = str(options.build / "tools/bench/guest/block.elf")
    monitors = {"QEMU": host.find_monitors()["QEMU"]}
    machine = host.machine()
    with guests.alone(progress), \
            tempfile.TemporaryDirectory(prefix="husk-bench-", dir=options.folder) as folder:
        image = make_image(Path(folder, "disk.img"))
        contestants = make_contestants(str(options.husk), monitors, guest, image,
                                       guests.husk_has(options.husk, "--bus"), options.packed)
        guests.take_turns(contestants, options.runs, progress, "block",
                          lambda contestant: _run_once(contestant, options, image, cases))
        notes = list(NOTES)
        if guests.can_count():
            guests.count_all(contestants, min(options.runs, COUNTS), progress, "block",
                             lambda contestant: _count(contestant, options))
        else:
            notes.append("Nothing was counted: that takes perf and tracepoints (be root).")
    results = [result for result, _ in contestants]
    figures = {name: figure for name, figure in figures_of(cases).items()
               if any(name in result.samples for result in results) or name in cases}
    return Report(
        benchmark="block", title="block: a disk in the page cache, native KVM", figures=figures,
        results=results, ratios=guests.ratios_of(results, figures, HUSK, "QEMU"),
        bar=[COUNTED if COUNTED in cases else cases[0]], runs=options.runs,
        versions=host.versions(options.husk, monitors), machine=machine,
        missing=[name for name, program in monitors.items() if not program], notes=notes,
        by_figure=True)
