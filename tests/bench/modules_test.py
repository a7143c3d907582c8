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
import boot
import boot_inside
import host
import launch
import picture
import process
import report
import stats


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


def mapping(start, size, permissions="rw-p", path="", rss=0):
    return process.Mapping(start, start + size, permissions, path, rss, rss)


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
        made = boot.make_contestants("/husk", {**self.ALL, "Firecracker": None})
        self.assertEqual({contestant.name for contestant in made},
                         {boot.HUSK, boot.QEMU_DEFAULT, boot.QEMU_LEANEST, boot.KVMTOOL})
        for contestant in made:
            self.assertIn("{kernel}", contestant.command)
            self.assertIn("{initrd}", contestant.command)

    def test_names_of_files_are_put_in(self):
        self.assertEqual(boot_inside.substitute("a={x},b={y}", {"x": "/1", "y": "/2"}), "a=/1,b=/2")


class Phases(unittest.TestCase):
    TIMES = {"kvm_entry": [1.5, 2.5], "kvm_exit": [2.0, 3.0, 4.0],
             "kvm_userspace_exit": [1.25, 2.0, 4.0], "kvm_pio": [4.0]}

    def test_phases_follow_each_other(self):
        figures = boot_inside.figures_of(1.0, 6.0, self.TIMES)
        self.assertEqual([figures[phase] for phase in boot.PHASES], [500, 500, 2000, 2000])
        self.assertEqual(figures["userspace"], 3000)
        self.assertEqual((figures["exits"], figures["userspace_exits"]), (3, 3))

    def test_a_boot_without_the_mark_has_none(self):
        times = {name: at for name, at in self.TIMES.items() if name != "kvm_pio"}
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

    def test_picture_of_nothing(self):
        self.assertIn("nothing was measured", picture.bar_chart("t", "c", "ms", 0, []))


if __name__ == "__main__":
    unittest.main()
