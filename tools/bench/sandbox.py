# SPDX-License-Identifier: Apache-2.0
"""
sandbox: one command in a sandbox, from start to exit, in the lab: Husk, QEMU microvm, podman, crun.

All run the same command in the same root: Husk by `husk sandbox`; QEMU, with its microvm's defaults
and with all off that the guest does without, with the same kernel and modules, an initramfs whose
init is made of the code of Husk's agent (sandbox_init.c), and the root as a disk; podman and crun
with the root as a folder. Contestants take turns in one lab (sandbox_inside.py). Files lie on a file
system in the lab's memory, so that its caches can be dropped: "cold" is that, "first" also without
the image that Husk packs of a folder.

Afterwards: exec in sandboxes that run, their memory, and several at once.
"""
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import host
import stats
import workload
from lab import TOOLS, Lab, firmware, output_of
from report import Figure, Report, Result

DESCRIPTION = "a command in a sandbox, in the lab: Husk, QEMU microvm, podman and crun"
DEFAULT_RUNS = 10
DEFAULT_MANY = 8
MEMORY = 128  # MiB
LAB_MEMORY = 4096  # MiB

HUSK, HUSK_FOLDER, PODMAN, CRUN = "Husk", "Husk, folder", "podman", "crun"
QEMU, QEMU_LEANEST = "QEMU microvm", "QEMU microvm leanest"
COLD, FIRST = "cold", "first"
SAID = "hello"  # sandbox_inside.py looks for it

# What the peer's kernel needs, in the order of loading; crc32c is what ext4 asks for by name.
MODULES = ("virtio_mmio", "virtio_blk", "overlay", "crc32c_generic", "ext4")
HUSK_MODULES = (*MODULES, "vmw_vsock_virtio_transport", "virtio_net", "virtiofs", "pvpanic-mmio",
                "virtio_balloon", "virtio-rng")
ARGUMENTS = ("console=ttyS0 8250.nr_uarts=1 pci=off panic=-1 cryptomgr.notests quiet reboot=t "
             f"-- /bin/echo {SAID}")

FIGURES = {
    "exit": Figure("to exit", "ms"),
    "exit_p99": Figure("p99", "ms"),
    "first_byte": Figure("to 1st byte", "ms"),
    "start": Figure("start", "ms"),
    "kernel": Figure("kernel", "ms"),
    "userspace": Figure("userspace", "ms"),
    "end": Figure("end", "ms"),
    "beyond": Figure("beyond kernel", "%"),
    "exec": Figure("exec", "ms"),
    "pss": Figure("PSS*", "KiB"),
    "helpers": Figure("helpers", "KiB"),
    "pss_many": Figure("PSS* of many", "KiB"),
    "rate": Figure("started", "/s", 2),
}
PHASES = ["start", "kernel", "userspace", "end"]

NOTES = [
    f"Median (p10..p90). {MEMORY} MiB, one vCPU. start: fork to the first guest instruction;",
    "kernel: until its first process runs, a firmware's time included; userspace: until the",
    "command's first byte; end: until what was started exits. beyond kernel: all but the kernel's time, as a",
    "part of it. exec: true in a sandbox that runs. * beside guest memory and libc, of one that",
    "idles; helpers are its other processes. of many, started: {many} sandboxes, two at a time, in a",
    "lab of one processor.",
]


def add_arguments(parser):
    workload.add_arguments(parser)
    parser.add_argument("--many", type=int, default=DEFAULT_MANY, metavar="N",
                        help="sandboxes that run at once (default %(default)s; 0: none)")
    parser.add_argument("--only", metavar="NAME;NAME...",
                        help="the contestants that take turns (default: all)")


# --- what is run: words in braces are files of the lab's own memory ---

def husk_command(program, root, *options):
    return [str(program), "sandbox", "--kernel", "{kernel}/vmlinuz", "--memory", f"{MEMORY}M",
            "--root", root, *options]


def qemu_command(program, machine):
    return [program, "-M", machine, "-accel", "kvm", "-cpu", "host", "-smp", "1",
            "-m", str(MEMORY), "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-L", "{firmware}", "-serial", "stdio", "-kernel", "{kernel}/vmlinuz",
            "-initrd", "{initrd}", "-append", ARGUMENTS,
            "-drive", "if=none,id=root,file={image},format=raw,readonly=on",
            "-device", "virtio-blk-device,drive=root"]


def podman_command(program, *words):
    """What it keeps is in memory, and no cgroup manager is there to be asked."""
    return [program, "--root", "{state}/storage", "--runroot", "{state}/run",
            "--tmpdir", "{state}/tmp", "--storage-driver", "vfs", "--cgroup-manager", "cgroupfs",
            "--events-backend", "none", *words]


def crun_command(program, *words):
    return [program, "--root", "{state}/crun", "--cgroup-manager", "disabled", *words]


def make_contestants(husk, monitors):
    """(the result, what is done before each run, whether it is a machine) of each."""
    said = ["/bin/echo", SAID]
    plain, folder = husk_command(husk, "{image}"), husk_command(husk, "{root}")
    made = [
        (Result(HUSK, [*plain, "--", *said]), None, True),
        (Result(f"{HUSK}, {COLD}", [*plain, "--", *said]), COLD, True),
        (Result(HUSK_FOLDER, [*folder, "--", *said]), None, True),
        (Result(f"{HUSK_FOLDER}, {FIRST}", [*folder, "--", *said]), FIRST, True),
    ]
    if monitors["QEMU"]:
        leanest = qemu_command(monitors["QEMU"], workload.QEMU_MICROVM)
        made += [(Result(QEMU, qemu_command(monitors["QEMU"], "microvm")), None, True),
                 (Result(QEMU_LEANEST, leanest), None, True),
                 (Result(f"{QEMU_LEANEST}, {COLD}", leanest), COLD, True)]
    if monitors["podman"]:
        command = podman_command(monitors["podman"], "run", "--rm", "--network", "none",
                                 "--cgroups=disabled", "--rootfs", "{root}", *said)
        made += [(Result(PODMAN, command), None, False),
                 (Result(f"{PODMAN}, {COLD}", command), COLD, False)]
    if monitors["crun"]:
        command = crun_command(monitors["crun"], "run", "--bundle", "{bundle}", "once")
        made.append((Result(CRUN, command), None, False))
    return made


def chosen(made, names):
    """Those with these names, or all."""
    found = [one for one in made if not names or one[0].name in names.split(";")]
    if found:
        return found
    raise SystemExit(f"bench: no contestant is called \"{names}\"; there are: "
                     + "; ".join(one[0].name for one in made))


def standing_commands(husk, monitors):
    """How each starts a sandbox that stays, runs one more command in it, and ends it."""
    stay, true = ["/bin/sleep", "100000"], "/bin/true"
    commands = {HUSK: {
        "start": husk_command(husk, "{image}", "--detach", "--name", "{name}", "--", *stay),
        "exec": [str(husk), "exec", "{name}", "--", true],
        "end": [str(husk), "rm", "--force", "{name}"]}}
    if monitors["podman"]:
        commands[PODMAN] = {
            "start": podman_command(monitors["podman"], "run", "--detach", "--network", "none",
                                    "--cgroups=disabled", "--name", "{name}", "--rootfs", "{root}",
                                    *stay),
            "exec": podman_command(monitors["podman"], "exec", "{name}", true),
            "end": podman_command(monitors["podman"], "rm", "--force", "--time", "0", "{name}")}
    if monitors["crun"]:
        commands[CRUN] = {
            "start": crun_command(monitors["crun"], "run", "--detach", "--bundle", "{standing}",
                                  "{name}"),
            "exec": crun_command(monitors["crun"], "exec", "{name}", true),
            "end": crun_command(monitors["crun"], "delete", "--force", "{name}")}
    return commands


def ratios():
    pairs = [(HUSK, QEMU), (HUSK, QEMU_LEANEST),
             (f"{HUSK}, {COLD}", f"{QEMU_LEANEST}, {COLD}"), (HUSK, PODMAN), (HUSK, CRUN)]
    return ([("exit", *pair) for pair in pairs] + [("first_byte", *pair) for pair in pairs]
            + [("exec", HUSK, PODMAN), ("exec", HUSK, CRUN), ("kernel", HUSK, QEMU_LEANEST)])


# --- what it is run on ---

def peer_config(modules):
    """The agent's configuration: fields, as agent/frame.c has them."""
    fields = [f"module={name}" for name in modules]
    fields += ["hostname=bench", "root=ext4 /dev/vda", "upper=tmpfs none"]
    return b"".join(field.encode() + b"\0" for field in fields)


def _module_paths(kernel, version, names):
    """With what they depend on, in the order of loading, each once."""
    paths = {}
    for name in names:
        shown = subprocess.run(["modprobe", "-d", kernel, "-S", version, "--show-depends", name],
                               stdout=subprocess.PIPE, text=True, check=False).stdout
        for line in shown.splitlines():
            if line.startswith("insmod "):
                paths.setdefault(line.split()[1])
    return [Path(path) for path in paths]


def _make_initrd(init, kernel, version, folder):
    modules = _module_paths(kernel, version, MODULES)
    (folder / "husk/modules").mkdir(parents=True)
    shutil.copy(init, folder / "init")
    for path in modules:
        shutil.copy(path, folder / "husk/modules")
    (folder / "husk/config").write_bytes(peer_config([path.name for path in modules]))
    initrd = folder.with_suffix(".cpio")
    with open(initrd, "wb") as archive:
        subprocess.run("find . -mindepth 1 | cpio --quiet -o -H newc -R 0:0", shell=True,
                       cwd=folder, stdout=archive, check=True)
    return initrd


def _make_kernel(kernel, version, folder):
    """The kernel's folder without the modules that no sandbox asks for."""
    tree = kernel / "lib/modules" / version
    paths = _module_paths(kernel, version, HUSK_MODULES)
    for path in [kernel / "vmlinuz", tree / "modules.dep", tree / "modules.builtin", *paths]:
        copy = folder / path.relative_to(kernel)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)


def _make_root(folder):
    (folder / "bin").mkdir(parents=True)
    for name in ("dev", "etc", "proc", "run", "sys", "tmp"):
        (folder / name).mkdir()
    shutil.copy(shutil.which("busybox"), folder / "bin")
    for name in ("echo", "sh", "sleep", "true"):
        (folder / "bin" / name).symlink_to("busybox")
    (folder / "etc/passwd").write_text("root:x:0:0:root:/:/bin/sh\n", encoding="utf-8")


def make_files(build, folder):
    """The files of the benchmark by their names; the kernel is a folder with its modules."""
    kernel = Path(output_of(TOOLS / "guest/stock-kernel"))
    version = (kernel / "version").read_text(encoding="utf-8").strip()
    root, image = folder / "root", folder / "root.img"
    _make_kernel(kernel, version, folder / "kernel")
    _make_root(root)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^has_journal", "-E",
                    "lazy_itable_init=0,root_owner=0:0", "-d", root, image, "24M"], check=True)
    initrd = _make_initrd(build / "tools/bench/sandbox-init", kernel, version, folder / "initrd")
    return {"kernel": str(folder / "kernel"), "root": str(root), "image": str(image),
            "initrd": str(initrd)}


# --- measuring ---

def collect(lines, contestants, progress):
    """What sandbox_inside.py says, as it says it. Returns the lab's machine."""
    by_name = {contestant.name: contestant for contestant in contestants}
    machine = None
    for line in lines:
        said = json.loads(line)
        if "machine" in said:
            machine = said["machine"]
            continue
        progress(f"sandbox: {said['name']}: {said.get('failure', said.get('figures'))}")
        contestant = by_name[said["name"]]
        if "failure" in said:
            contestant.failure = said["failure"]
        elif said["turn"] > 0:
            for figure, value in said["figures"].items():
                contestant.samples.setdefault(figure, []).append(value)
    for contestant in contestants:
        if "exit" in contestant.samples:
            ordered = sorted(contestant.samples["exit"])
            contestant.samples["exit_p99"] = [stats.percentile(ordered, 99)]
    return machine


def _plan(options, made, monitors, files):
    return {
        "runs": options.runs,
        "many": 0,
        "timeout": options.timeout,
        "memory": MEMORY,
        "files": files,
        "firmware": firmware(monitors["QEMU"]),
        "helpers": [str(path) for name in ("husk-agent", "husk-net-user")
                    if (path := options.husk.parent / name).exists()],
        "contestants": [{"name": result.name, "command": result.command, "before": before,
                         "is_machine": is_machine} for result, before, is_machine in made],
        "standing": {name: commands
                     for name, commands in standing_commands(options.husk, monitors).items()
                     if any(name == result.name for result, _, _ in made)},
    }


def _run_inside(lab, plan, contestants, progress):
    """Has a lab carry out a plan; what its machine is. SystemExit if it does not come to an end."""
    inside = lab.start(sys.executable, str(Path(__file__).with_name("sandbox_inside.py")))
    with inside:
        inside.stdin.write(json.dumps(plan) + "\n")
        inside.stdin.close()
        machine = collect(inside.stdout, contestants, progress)
    if inside.returncode != 0:
        raise SystemExit(f"bench: the lab's side ended with status {inside.returncode}")
    return machine


def _measure_many(options, plan, contestants, progress):
    """
    In a lab of their own, with one processor: many machines on two of them make the lab's emulator
    spoil its own host.
    """
    memory = LAB_MEMORY + options.many * 2 * MEMORY
    try:
        with Lab(options.build, options.session, memory=memory, cpus=1) as lab:
            _run_inside(lab, {**plan, "contestants": [], "many": options.many}, contestants, progress)
    except SystemExit as failure:
        print(f"{failure}: {options.many} at once are left out", file=sys.stderr)


def measure(options, progress):
    """The report of a whole benchmark; SystemExit if the lab does not run it."""
    monitors = {"QEMU": host.find_monitors()["QEMU"],
                **{name: shutil.which(name) for name in (PODMAN, CRUN)}}
    made = chosen(make_contestants(options.husk, monitors), options.only)
    contestants = [result for result, _, _ in made]
    results = options.build / "bench"  # where the lab sees it
    results.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="sandbox-", dir=results) as folder:
        plan = _plan(options, made, monitors, make_files(options.build, Path(folder)))
        progress("sandbox: starting the lab")
        with Lab(options.build, options.session, memory=LAB_MEMORY) as lab:
            machine = _run_inside(lab, plan, contestants, progress)
        if options.many > 0 and HUSK in plan["standing"]:
            _measure_many(options, plan, contestants, progress)
    return Report(
        benchmark="sandbox", title="sandbox: a command in a sandbox, start to exit, in the lab",
        figures=FIGURES, results=contestants, ratios=ratios(), bar=PHASES, runs=options.runs,
        versions=host.versions(options.husk, monitors), machine=machine,
        missing=[name for name, program in monitors.items() if not program],
        notes=[note.format(many=options.many) for note in NOTES])
