#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""modules_test.py TOOLS_BENCH: the parts of the benchmarks that need neither KVM nor monitors."""
import io
import json
import sys
import tempfile
import unittest
import xml.etree.ElementTree
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv.pop(1))
import block
import boot
import boot_inside
import fio
import guests
import host
import iperf
import launch
import net
import picture
import process
import report
import sandbox
import sandbox_inside
import stats
import workload


class Stats(unittest.TestCase):
    def test_summary_has_median_and_interpolated_percentiles(self):
        summary = stats.summary([5, 1, 2, 4, 3, 6])
        self.assertEqual(summary["median"], 3.5)
        self.assertAlmostEqual(summary["p10"], 1.5)
        self.assertAlmostEqual(summary["p90"], 5.5)
        self.assertEqual(summary["samples"], [5, 1, 2, 4, 3, 6])

    def test_summary_of_one_sample(self):
        summary = stats.summary([7])
        self.assertEqual((summary["p10"], summary["median"], summary["p90"]), (7, 7, 7))

    def test_samples_not_taken_are_left_out(self):
        self.assertEqual(stats.summary([None, 3, None, 5])["median"], 4)
        self.assertIsNone(stats.summary([None, None]))
        self.assertIsNone(stats.summary([]))

    def test_ratio_is_taken_pair_by_pair(self):
        ratio = stats.ratio([2, 40, 6], [1, 10, 2])
        self.assertEqual(ratio["samples"], [2, 4, 3])
        self.assertEqual(ratio["median"], 3)

    def test_ratio_skips_pairs_with_a_missing_side(self):
        self.assertEqual(stats.ratio([2, None, 9], [1, 1, None])["samples"], [2])
        self.assertIsNone(stats.ratio([None], [1]))


def mapping(start, size, permissions="rw-p", path="", rss=0, dirty=0):
    return process.Mapping(start, start + size, permissions, path, rss, rss, dirty)


class Contestants(unittest.TestCase):
    ALL = {name: f"/opt/{programs[0]}" for name, programs in host.MONITORS.items()}
    NONE = dict.fromkeys(host.MONITORS)

    def test_launch_has_every_monitor_that_is_found(self):
        with tempfile.TemporaryDirectory() as folder:
            made = launch.make_contestants(Path("/build"), "/husk", self.ALL, folder)
            config = json.loads(Path(folder, "firecracker.json").read_text(encoding="utf-8"))
            programs = {contestant.command[0] for contestant in made}
        self.assertEqual(programs, {"/husk", "/build/floor", *self.ALL.values()})
        self.assertEqual(config["machine-config"]["mem_size_mib"], launch.DEFAULT_MEMORY)

    def test_launch_without_monitors(self):
        made = launch.make_contestants(Path("/build"), "/husk", self.NONE, "/nowhere")
        self.assertEqual({contestant.command[0] for contestant in made}, {"/husk", "/build/floor"})

    def test_boot_gives_all_the_same_files(self):
        made = boot.make_contestants("/husk", {**self.ALL, "Firecracker": None}, "x86_64")
        self.assertEqual({contestant.name for contestant in made},
                         {boot.HUSK, boot.HUSK_PCI, *boot.ARCHITECTURES["x86_64"].machines,
                          boot.KVMTOOL})
        for contestant in made:
            self.assertIn("{kernel}", contestant.command)
            self.assertIn("{initrd}", contestant.command)

    def test_boot_knows_each_architectures_machines(self):
        made = boot.make_contestants("/husk", {**self.NONE, "QEMU": "/qemu"}, "aarch64")
        self.assertEqual([contestant.name for contestant in made],
                         [boot.HUSK, boot.HUSK_PCI, "QEMU virt", "QEMU virt leanest"])
        self.assertIn("console=ttyAMA0", " ".join(made[-1].command))

    def test_names_of_files_are_put_in(self):
        self.assertEqual(boot_inside.substitute("a={x},b={y}", {"x": "/1", "y": "/2"}), "a=/1,b=/2")


class NativeGuests(unittest.TestCase):
    COUNTS = ["# started\n", "\n", "420,,raw_syscalls:sys_enter,99,100.00,,\n",
              "7,,kvm:kvm_userspace_exit,99,100.00,,\n"]

    def test_a_line_of_the_guest(self):
        self.assertEqual(guests.parse("result read:random cycles=12 errors=0"),
                         ("result", ["read:random"], {"cycles": 12, "errors": 0}))

    def test_counts_of_perf(self):
        self.assertEqual(guests.parse_counts(self.COUNTS), {"syscalls": 420, "exits": 7})
        self.assertEqual(guests.parse_counts(["<not supported>,,raw_syscalls:sys_enter,0,,,\n"]), {})

    def test_a_guest_that_ends_early_is_said_to_have(self):
        with self.assertRaisesRegex(guests.Failure, "ended early: no such machine"):
            guests.run(["sh", "-c", "echo no such machine >&2"], "", 10)

    def test_a_guest_that_says_nothing_is_ended(self):
        with self.assertRaisesRegex(guests.Failure, "too long"):
            guests.run(["sh", "-c", "exec sleep 1000"], "", 0.1)

    def test_a_guest_is_listened_to_until_done(self):
        says = "echo ready tsc=100; read -n1 byte; echo result $byte; echo done tsc=200"
        results, _ = guests.run(["bash", "-c", says], "", 10)
        self.assertEqual(results, [(["g"], {})])


class Block(unittest.TestCase):
    LINE = {"cycles": 2_000_000, "requests": 1000, "kicks": 10, "kicking": 1, "p50": 2000,
            "p99": 4000, "errors": 0}

    def test_small_requests_are_operations_and_latency(self):
        found = block.values_of("read:random:4096:1", self.LINE, 2e9)
        self.assertEqual(found, {"read:random:4096:1": 1000, "read:random:4096:1/p50": 1,
                                 "read:random:4096:1/p99": 2})

    def test_large_requests_are_throughput(self):
        found = block.values_of("write:sequential:131072:32", self.LINE, 2e9)
        self.assertEqual(found, {"write:sequential:131072:32": 125000})

    def test_errors_and_silence_are_failures(self):
        for change in ({"errors": 1}, {"requests": 0}):
            with self.assertRaises(guests.Failure):
                block.values_of(block.COUNTED, {**self.LINE, **change}, 2e9)

    def test_the_best_peer_is_compared_with(self):
        figures = block.figures_of(["read:random:4096:1"])
        name = "read:random:4096:1"
        results = [report.Result("Husk", [], {name: [5], name + "/p50": [1]}),
                   report.Result("QEMU a", [], {name: [2], name + "/p50": [7]}),
                   report.Result("QEMU b", [], {name: [4], name + "/p50": [9]})]
        self.assertEqual(guests.ratios_of(results, figures, "Husk", "QEMU"),
                         [(name, "Husk", "QEMU b"), (name + "/p50", "Husk", "QEMU a")])

    def test_shapes_are_in_the_commands(self):
        for _, maker in block.make_contestants("/husk", Contestants.ALL, "/guest", "/image", True):
            self.assertEqual(" ".join(maker.command("/image", disks=8)).count("/image"), 8)
            self.assertIn("queues=2", " ".join(maker.command("/image", queues=2)))

    def test_every_contestant_has_its_place(self):
        made = block.make_contestants("/husk", Contestants.ALL, "/guest", "/image", True)
        self.assertEqual(len(made), 6)
        for result, _ in made:
            self.assertIn("/image", " ".join(result.command))
        both = block.make_contestants("/husk", Contestants.NONE, "/guest", "/image", True, True)
        self.assertEqual([result.name for result, _ in both],
                         ["Husk", "Husk, PCI", "Husk, packed", "Husk, PCI, packed"])
        alone = block.make_contestants("/husk", Contestants.NONE, "/guest", "/image", False)
        self.assertEqual([result.name for result, _ in alone], ["Husk"])


class Net(unittest.TestCase):
    LINE = {"cycles": 2_000_000, "frames": 1000, "bytes": 64_000, "kicks": 1, "kicking": 1}

    def test_frames_and_bits(self):
        self.assertEqual(net.values_of("send:64", self.LINE, 2e9),
                         {"send:64": 1000, "send:64/bits": 0.512})

    def test_frames_of_another_size_and_no_frames_are_failures(self):
        for change in ({"bytes": 63_999}, {"frames": 0, "bytes": 0}):
            with self.assertRaises(guests.Failure):
                net.values_of("receive:64", {**self.LINE, **change}, 2e9)

    def test_frames_have_their_size_behind_the_header(self):
        for size in net.SIZES:
            self.assertEqual(len(net.frame(size)), 10 + size)

    def test_large_frames_are_to_be_cut(self):
        self.assertEqual(net.frame(net.LARGE)[:2], b"\1\1")
        self.assertEqual(net.frame(1500)[:10], bytes(10))

    def test_every_contestant_has_the_tap(self):
        for result, _ in net.make_contestants("/husk", Contestants.ALL, "/guest", True):
            self.assertIn(net.TAP, " ".join(result.command))


def terse(name, **fields):
    """A line of fio --minimal with these fields, by their numbers as f7=..."""
    line = ["3", "fio-3.33", name] + ["0"] * 120
    for field, value in fields.items():
        line[int(field[1:])] = value
    return ";".join(line) + "\n"


class Workloads(unittest.TestCase):
    def test_fio_reads_and_writes(self):
        said = ("[ 1.0] noise\n" + terse("randread-1", f7="5400", f39="175.5")
                + terse("randwrite-32", f7="1", f48="13462") + terse("read-128k", f6="2048")
                + terse("write-128k", f47="1024") + terse("another", f7="9") + "3;short;line\n")
        self.assertEqual(fio.values_of(said), {
            "randread-1": 5.4, "randread-1/us": 175.5, "randwrite-32": 13.462,
            "read-128k": 2, "write-128k": 1})

    def test_iperf_has_what_arrived_each_way(self):
        said = ("case send\n[  5] 0.00-3.00 sec 1 MBytes 2000 Kbits/sec 0 sender\n"
                "[  5] 0.00-3.00 sec 1 MBytes 1500 Kbits/sec receiver\n"
                "case receive\n[  5] 0.00-3.00 sec 1 MBytes 2500 Kbits/sec receiver\n")
        self.assertEqual(iperf.values_of(said), {"send": 1.5, "receive": 2.5})
        self.assertEqual(iperf.values_of("case send\niperf3: error\n"), {})

    def test_fio_gives_all_the_same_disk(self):
        made = fio.make_contestants("/husk", Contestants.ALL, True)
        self.assertEqual([result.name for result in made],
                         ["Husk", "Husk, PCI", "QEMU", "QEMU, PCI"])
        for result in made:
            self.assertIn("{disk}", " ".join(result.command))

    def test_iperf_compares_like_with_like(self):
        names = {result.name for result in
                 iperf.make_contestants("/husk", Contestants.ALL, lambda word: True)}
        self.assertEqual({name for pair in iperf.PAIRS for name in pair}, names)
        without = iperf.make_contestants("/husk", Contestants.NONE, lambda word: False)
        self.assertEqual([result.name for result in without], ["Husk tap", "Husk user"])

    def test_collected_by_name(self):
        contestants = [report.Result("A", []), report.Result("B", [])]
        lines = [json.dumps(line) for line in (
            {"machine": {"cpu": "x"}}, {"name": "A", "turn": 1, "figures": {"send": 7}},
            {"name": "B", "turn": 1, "failure": "no"})]
        machine = workload.collect(lines, contestants, "test", lambda line: None)
        self.assertEqual(machine, {"cpu": "x"})
        self.assertEqual((contestants[0].samples, contestants[1].failure), ({"send": [7]}, "no"))


class Phases(unittest.TestCase):
    TIMES = {"kvm_entry": [1.5, 2.5], "kvm_exit": [2.0, 3.0, 4.0],
             "kvm_userspace_exit": [1.25, 2.0, 4.0], boot_inside.MARK: [4.0]}

    def test_phases_follow_each_other(self):
        figures = boot_inside.figures_of(1.0, 6.0, self.TIMES)
        self.assertEqual([figures[phase] for phase in boot.PHASES], [500, 500, 2000, 2000])
        self.assertEqual(figures["userspace"], 3000)
        self.assertEqual((figures["exits"], figures["userspace_exits"]), (3, 3))

    def test_a_boot_without_the_mark_has_none(self):
        times = {name: at for name, at in self.TIMES.items() if name != boot_inside.MARK}
        self.assertIsNone(boot_inside.figures_of(1.0, 6.0, times))

    def test_collected_without_the_first_turn(self):
        contestants = [report.Result("A", []), report.Result("B", [])]
        lines = [json.dumps(line) for line in (
            {"machine": {"cpu": "x"}},
            {"name": "A", "turn": 0, "figures": {"userspace": 9}},
            {"name": "B", "turn": 0, "failure": "no"},
            {"name": "A", "turn": 1, "figures": {"userspace": 7}})]
        self.assertEqual(boot.collect(lines, contestants, 1, lambda line: None), {"cpu": "x"})
        self.assertEqual(contestants[0].samples, {"userspace": [7]})
        self.assertEqual(contestants[1].failure, "no")


class Sandbox(unittest.TestCase):
    ALL = {"QEMU": "/q", "podman": "/p", "crun": "/c"}
    NONE = dict.fromkeys(ALL)

    def test_every_contestant_runs_the_same_command(self):
        for result, _, _ in sandbox.make_contestants("/husk", self.ALL):
            words = " ".join(result.command)
            self.assertTrue("{bundle}" in words or words.count("/bin/echo hello") == 1, words)
        alone = sandbox.make_contestants("/husk", self.NONE)
        self.assertEqual({result.command[0] for result, _, _ in alone}, {"/husk"})

    def test_contestants_are_chosen_by_name(self):
        made = sandbox.make_contestants("/husk", self.ALL)
        self.assertEqual(sandbox.chosen(made, None), made)
        self.assertEqual([one[0].name for one in sandbox.chosen(made, "Husk, cold;crun")],
                         ["Husk, cold", "crun"])
        with self.assertRaises(SystemExit):
            sandbox.chosen(made, "runc")

    def test_ratios_and_standing_sandboxes_are_of_contestants(self):
        names = {result.name for result, _, _ in sandbox.make_contestants("/husk", self.ALL)}
        self.assertEqual({name for _, *pair in sandbox.ratios() for name in pair} - names, set())
        self.assertEqual(set(sandbox.standing_commands("/husk", self.ALL)) - names, set())
        self.assertEqual(list(sandbox.standing_commands("/husk", self.NONE)), ["Husk"])

    def test_the_peers_configuration_is_fields(self):
        config = sandbox.peer_config(["a.ko", "b.ko"])
        self.assertTrue(config.startswith(b"module=a.ko\0module=b.ko\0hostname="), config)
        self.assertTrue(config.endswith(b"\0"), config)

    def test_phases_make_up_the_whole(self):
        times = {"kvm_entry": [1.5, 2.5], boot_inside.MARK: [3.5]}
        figures = sandbox_inside.figures_of(1.0, 4.5, 5.0, times)
        self.assertEqual([figures[phase] for phase in sandbox.PHASES], [500, 2000, 1000, 500])
        self.assertEqual((figures["exit"], figures["first_byte"]), (4000, 3500))
        self.assertEqual(figures["beyond"], 100)

    def test_a_machine_without_the_mark_has_no_figures_and_a_container_no_phases(self):
        self.assertIsNone(sandbox_inside.figures_of(1.0, 2.0, 3.0, {"kvm_entry": [1.5]}))
        self.assertEqual(sandbox_inside.figures_of(1.0, 2.0, 3.0, None),
                         {"exit": 2000, "first_byte": 1000, "end": 1000})

    def test_a_run_has_its_word_and_its_status(self):
        with tempfile.TemporaryFile() as errors:
            began, spoke, ended, status = sandbox_inside.run_to_end(
                ["/bin/sh", "-c", "echo hello; exit 3"], errors, 60)
            self.assertTrue(began <= spoke <= ended)
            self.assertEqual(status, 3)
            _, spoke, _, status = sandbox_inside.run_to_end(["/bin/true"], errors, 60)
            self.assertEqual((spoke, status), (None, 0))

    def test_a_run_that_hangs_is_ended(self):
        with tempfile.TemporaryFile() as errors:
            _, spoke, _, status = sandbox_inside.run_to_end(["/bin/sleep", "1000"], errors, 0.05)
        self.assertEqual((spoke, status), (None, -9))

    def test_collected_with_the_worst_of_a_hundred(self):
        contestants = [report.Result("A", []), report.Result("B", [])]
        lines = [json.dumps(line) for line in (
            {"machine": {"cpu": "x"}},
            {"name": "A", "turn": 0, "figures": {"exit": 100}},
            {"name": "A", "turn": 1, "figures": {"exit": 7}},
            {"name": "A", "turn": 2, "figures": {"exit": 9}},
            {"name": "B", "turn": 1, "failure": "no"})]
        self.assertEqual(sandbox.collect(lines, contestants, lambda line: None), {"cpu": "x"})
        self.assertEqual(contestants[0].samples["exit"], [7, 9])
        self.assertAlmostEqual(contestants[0].samples["exit_p99"][0], 8.98)
        self.assertEqual(contestants[1].failure, "no")


class GuestMemory(unittest.TestCase):
    def test_one_mapping_of_the_guests_size(self):
        maps = [mapping(0, 64), mapping(100, 128), mapping(300, 32)]
        self.assertEqual(process.guest_memory(maps, 128), [maps[1]])

    def test_adjacent_mappings_that_make_it_up(self):
        maps = [mapping(0, 8), mapping(100, 28), mapping(128, 100), mapping(300, 32)]
        self.assertEqual(process.guest_memory(maps, 128), maps[1:3])

    def test_files_gaps_and_read_only_memory_are_not_guest_memory(self):
        self.assertEqual(process.guest_memory([mapping(0, 128, path="/lib/x.so")], 128), [])
        self.assertEqual(process.guest_memory([mapping(0, 128, "r--p")], 128), [])
        self.assertEqual(process.guest_memory([mapping(0, 64), mapping(65, 64)], 128), [])

    def test_memfd_is(self):
        maps = [mapping(0, 128, "rw-s", "/memfd:ram (deleted)")]
        self.assertEqual(process.guest_memory(maps, 128), maps)

    def test_of_libc_only_what_was_changed_is_counted(self):
        maps = [mapping(0, 8, rss=5), mapping(8, 8, path="/lib/libc.so.6", rss=40, dirty=2),
                mapping(16, 8, path="/tmp/x/ld-linux-x86-64.so.2", rss=30, dirty=1),
                mapping(24, 8, path="/lib/libcap.so.2", rss=7)]
        self.assertEqual(process.pss_beside_libc(maps), 15)


class Syscalls(unittest.TestCase):
    LOG = ('10 execve("/bin/vmm", ...) = 0\n'
           '10 pread64(3, "\\6\\0\\0", 3, 64) = 3\n'
           '11 ioctl(5, KVM_GET_SUPPORTED_CPUID <unfinished ...>\n'
           '10 --- SIGUSR1 {si_signo=SIGUSR1} ---\n'
           '11 <... ioctl resumed>) = 0\n'
           '11 +++ exited with 0 +++\n'
           '12 write(12, "\\6", 1) = 1\n'
           '12 ioctl(18, KVM_RUN, 0)\n')

    def test_calls_are_counted_once_and_up_to_the_byte(self):
        self.assertEqual(process.calls_until_byte(io.StringIO(self.LOG)), 4)

    def test_vectored_write(self):
        log = '1 writev(1, [{iov_base="\\6", iov_len=1}], 1) = 1\n'
        self.assertEqual(process.calls_until_byte(io.StringIO(log)), 1)

    def test_no_byte(self):
        self.assertIsNone(process.calls_until_byte(io.StringIO('1 write(1, "x", 1) = 1\n')))


def make_report(results, bar):
    machine = {"cpu": "a <CPU>", "cores": 2, "kernel": "6", "kvm": "none", "load_average": 0}
    figures = {"first": report.Figure("first", "ms", 1), "second": report.Figure("second", "ms", 1)}
    return report.Report("test", "a & b", figures, results, [("first", "A", "B")], bar, 2,
                         {"Husk": "husk 1"}, machine, ["kvmtool"], [])


class Reports(unittest.TestCase):
    def test_failed_contestants_are_named_and_not_drawn(self):
        made = make_report([report.Result("A", ["a"], {"first": [1, 2]}),
                            report.Result("B", ["b"], {}, "went away")], ["first"])
        self.assertIn("B: failed: went away", report.text(made))
        self.assertNotIn(">B<", report.to_svg(made))
        self.assertIn("kvmtool", report.text(made))

    def test_ratio_line(self):
        made = make_report([report.Result("A", ["a"], {"first": [1, 2]}),
                            report.Result("B", ["b"], {"first": [4, 8]})], ["first"])
        self.assertRegex(report.text(made), r"first: A / B +0\.250 .* 4\.0")

    def test_picture_is_well_formed_and_stacks_parts(self):
        made = make_report([report.Result("A", ["a"], {"first": [1, 1], "second": [3, 3]})],
                           ["first", "second"])
        drawing = xml.etree.ElementTree.fromstring(report.to_svg(made))
        words = [element.text for element in drawing.iter("{http://www.w3.org/2000/svg}text")]
        self.assertIn("a & b", words)
        self.assertIn("4.0", words)

    def test_a_row_for_each_figure(self):
        made = make_report([report.Result("A", ["a"], {"first": [1, 2], "second": [3, 3]})], [])
        made.by_figure = True
        self.assertRegex(report.text(made), r"second, ms +3\.0\n")

    def test_picture_of_nothing(self):
        self.assertIn("nothing was measured", picture.bar_chart("t", "c", "ms", 0, []))


if __name__ == "__main__":
    unittest.main()
