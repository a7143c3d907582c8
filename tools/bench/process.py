# SPDX-License-Identifier: Apache-2.0
"""Looking at a monitor's process from outside: memory beside the guest's, libraries, syscalls."""
import collections
import os
import re
import subprocess
import tempfile

Mapping = collections.namedtuple("Mapping", "start end permissions path rss_kib pss_kib dirty_kib")

_HEADER = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \S+ *(.*)")

_LIBC = re.compile(r"/(libc[.-]|ld-linux)[^/]*$")

# strace -f: "PID  name(...", but not the second half of a call, a signal, or an exit.
_CALL = re.compile(r"\d+ +[a-z]\w*\(")
_PAYLOAD_WRITE = re.compile(r'\d+ +writev?\(\d+, (\[\{iov_base=)?"\\6", ')


def mappings(pid):
    found = []
    with open(f"/proc/{pid}/smaps", encoding="utf-8") as smaps:
        for line in smaps:
            header = _HEADER.match(line)
            if header:
                start, end, permissions, path = header.groups()
                found.append(Mapping(int(start, 16), int(end, 16), permissions, path, 0, 0, 0))
            elif line.startswith("Rss:"):
                found[-1] = found[-1]._replace(rss_kib=int(line.split()[1]))
            elif line.startswith("Pss:"):
                found[-1] = found[-1]._replace(pss_kib=int(line.split()[1]))
            elif line.startswith("Private_Dirty:"):
                found[-1] = found[-1]._replace(dirty_kib=int(line.split()[1]))
    return found


def guest_memory(maps, size):
    """
    The mappings, one or several adjacent ones, that are writable, of no file, and together exactly
    as large as the guest's memory; empty if there are none.
    """
    for first, mapping in enumerate(maps):
        end = mapping.start
        for last in range(first, len(maps)):
            candidate = maps[last]
            of_file = candidate.path and not candidate.path.startswith(("/memfd:", "[anon"))
            if candidate.start != end or candidate.permissions[:2] != "rw" or of_file:
                break
            end = candidate.end
            if end - mapping.start == size:
                return maps[first:last + 1]
    return []


def _peak_rss_kib(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))


def memory(pid, guest_size):
    """
    (peak RSS, PSS) outside guest memory in KiB, or (None, None) where guest memory cannot be told
    from the rest. A guest's memory only grows, so that the peak includes what it holds now.
    """
    maps = mappings(pid)
    guest = guest_memory(maps, guest_size)
    if not guest:
        return None, None
    others = [mapping for mapping in maps if mapping not in guest]
    guest_rss = sum(mapping.rss_kib for mapping in guest)
    peak = max(_peak_rss_kib(pid) - guest_rss, sum(mapping.rss_kib for mapping in others))
    return peak, sum(mapping.pss_kib for mapping in others)


def pss_beside_libc(maps):
    """
    The PSS in KiB of these mappings, of libc and its loader only what the process has changed: the
    rest of them is in memory for all of a host's programs, unless a benchmark made a copy for one.
    """
    return sum(mapping.dirty_kib if _LIBC.search(mapping.path) else mapping.pss_kib
               for mapping in maps)


def libraries(pid):
    """How many shared libraries a process has mapped, the dynamic loader left out."""
    names = {os.path.basename(mapping.path) for mapping in mappings(pid)}
    return sum(1 for name in names
               if re.search(r"\.so(\.|$)", name) and not name.startswith("ld-linux"))


def count_syscalls(timer, command):
    """How many syscalls all threads make until the payload's byte is written; None if unseen."""
    with tempfile.NamedTemporaryFile("r", prefix="husk-bench-", suffix=".strace") as log:
        traced = ["strace", "-f", "-s", "64", "-o", log.name, "--", *command]
        done = subprocess.run([timer, *traced], stdin=subprocess.DEVNULL, capture_output=True,
                              check=False)
        return calls_until_byte(log) if done.returncode == 0 else None


def calls_until_byte(log):
    """As count_syscalls(), in the lines of a log of strace -f."""
    count = 0
    for line in log:
        if _CALL.match(line):
            count += 1
        if _PAYLOAD_WRITE.match(line):
            return count
    return None

