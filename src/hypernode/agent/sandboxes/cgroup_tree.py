"""Control groups: bounds on memory, processes and CPU that a job cannot leave; what both versions of them share.

Every group is named `<prefix><key>`, directly below the group this process runs in, so that the limits of whoever
started the node hold for its jobs too. The prefix comes from the node's home: two nodes never touch each other's.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
from collections.abc import Iterable
from typing import NamedTuple, Protocol

PERIOD_US = 100_000


class CgroupsUnavailable(Exception):
    """This host gives us no cgroups to limit jobs with. The message is a remedy."""


class Use(NamedTuple):
    """What a group has used up to now."""

    cpu_ms: int
    memory_peak_bytes: int
    memory_kills: int


class Group(Protocol):
    """The cgroup (v2) or cgroups (v1) of one job."""

    @property
    def folders(self) -> dict[str, str]:
        """Controller name ("" for version 2) → where the group of that controller lies."""

    def enter(self) -> None:
        """Move the calling process in. Needs the rights of whoever made the group: before dropping the user."""

    def kill(self) -> bool:
        """SIGKILL all inside, once. True if the group is empty; call again until it is."""

    def use(self) -> Use: ...

    def remove(self) -> bool:
        """Remove the group if nothing is inside. True if it is gone."""


class Groups(Protocol):
    """Where groups are made."""

    version: str

    def make(self, name: str, memory_bytes: int, processes: int, cpu_milli: int) -> Group: ...

    def left_over(self, prefix: str) -> list[Group]:
        """Every group on this host whose name starts with the prefix."""


def controller_mounts() -> dict[str, tuple[str, str]]:
    """Controller name ("" for version 2) → (mount point, the group that is mounted there)."""
    found: dict[str, tuple[str, str]] = {}
    with open("/proc/self/mountinfo") as lines:
        for line in lines:
            before, _, after = line.partition(" - ")
            fields, (kind, _, options) = before.split(), after.split(maxsplit=2)
            if kind == "cgroup":
                for controller in options.strip().split(","):
                    found.setdefault(controller, (fields[4], fields[3]))
            elif kind == "cgroup2":
                found.setdefault("", (fields[4], fields[3]))
    return found


def own_groups() -> dict[str, str]:
    return groups_of("self")


def groups_of(process: int | str) -> dict[str, str]:
    """Controller name ("" for version 2) → the group a process is in. Raises OSError if it has ended."""
    found: dict[str, str] = {}
    with open(f"/proc/{process}/cgroup") as lines:
        for line in lines:
            _, controllers, path = line.rstrip("\n").split(":", 2)
            for controller in controllers.split(","):
                found[controller] = path
    return found


def join(mounted: tuple[str, str], group: str) -> str:
    """Where on the file system a group lies, given which part of the tree is mounted (containers see a part)."""
    point, root = mounted
    if root != "/" and (group == root or group.startswith(root + "/")):
        group = group[len(root) :]
    return (point + "/" + group.strip("/")).rstrip("/")


def quota_us(cpu_milli: int) -> int:
    """CPU time per PERIOD_US."""
    return max(1000, cpu_milli * PERIOD_US // 1000)  # the kernel refuses less than 1 ms


def named(root: str, prefix: str) -> list[str]:
    found: list[str] = []
    for folder, names, _ in os.walk(root):
        found.extend(f"{folder}/{name}" for name in names if name.startswith(prefix))
    return found


def members(folder: str) -> list[int]:
    try:
        return [int(line) for line in read(f"{folder}/cgroup.procs").split()]
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENODEV):  # it went, before it could be opened or read
            return []
        raise


def within(folder: str) -> list[str]:
    """The group and every one below it, inner ones first: the order in which they can be removed."""
    return [found for found, _, _ in os.walk(folder, topdown=False)]


def kill_all(folders: Iterable[str]) -> bool:
    empty = True
    for folder in dict.fromkeys(folders):
        for process in members(folder):
            empty = False
            if process > 0:  # 0 is a process outside our pid namespace: never signal our own process group
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
    return empty


def remove_all(folders: Iterable[str]) -> bool:
    gone = True
    for folder in dict.fromkeys(folders):
        try:
            os.rmdir(folder)
        except FileNotFoundError:
            pass
        except OSError:  # busy: its last process is still on the way out
            gone = False
    return gone


def read(path: str) -> str:
    with open(path) as file:
        return file.read()


def write(path: str, value: object) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, str(value).encode())
    finally:
        os.close(descriptor)
