"""What processes used: CPU seconds by role, and memory as the kernel accounts it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

import msgspec
import psutil

MIB = 1 << 20


def cpu_s(pids: Mapping[str, Sequence[int]]) -> dict[str, float]:
    """CPU seconds (user and system, all threads) of each role's processes so far. Of the database that is the
    postmaster with its children, those that have ended included. `everything` is the whole machine."""
    used = {
        role: sum(tree_s(pid) if role == "database" else _own_s(psutil.Process(pid)) for pid in of)
        for role, of in pids.items()
    }
    times = psutil.cpu_times()
    return {**used, "everything": sum(times[:3]) + getattr(times, "irq", 0) + getattr(times, "softirq", 0)}


def _own_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def tree_s(pid: int) -> float:
    """CPU seconds of a process and its descendants, those included that ended and were waited for by one of them.

    Who has ended is in the time of whoever waited for it and nowhere else, so nothing counts twice; a process that
    ends while this looks may be missed, but not at the next look."""
    root = psutil.Process(pid)
    total = 0.0
    for process in [root, *root.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


class Memory(msgspec.Struct, frozen=True):
    """MiB of some processes together. PSS shares out what several processes map, so it adds up; RSS does not."""

    processes: int
    pss: float
    rss: float
    peak_rss: float
    """Sum of each process's own highest RSS: an upper bound of what they ever had together."""


def memory(*pids: int) -> Memory:
    """Of processes and all their descendants; none of them may descend from another."""
    roots = [psutil.Process(pid) for pid in pids]
    pss = rss = peak = count = 0
    for process in [one for root in roots for one in (root, *root.children(recursive=True))]:
        try:
            pss += _field(f"/proc/{process.pid}/smaps_rollup", "Pss")
            rss += _field(f"/proc/{process.pid}/status", "VmRSS")
            peak += _field(f"/proc/{process.pid}/status", "VmHWM")
        except (FileNotFoundError, ProcessLookupError):
            continue
        count += 1
    return Memory(count, pss / MIB, rss / MIB, peak / MIB)


def _field(path: str, name: str) -> int:
    with open(path) as lines:
        for line in lines:
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    return 0
