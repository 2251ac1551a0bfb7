"""Control groups: bounds on memory, processes and CPU that a job cannot leave, for both versions of the interface.

Every group is named `<prefix><key>`, directly below the group this process runs in, so that the limits of whoever
started the node hold for its jobs too. The prefix comes from the node's home: two nodes never touch each other's.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable
from typing import NamedTuple, Protocol

PERIOD_US = 100_000
V1_CONTROLLERS = ("memory", "pids", "cpu", "cpuacct")
V2_CONTROLLERS = ("memory", "pids", "cpu")


class CgroupsUnavailable(Exception):
    """This host gives us no cgroups to limit jobs with. The message is a remedy."""


class Use(NamedTuple):
    """What a group has used up to now."""

    cpu_ms: int
    memory_peak_bytes: int
    memory_kills: int


class Group(Protocol):
    """The cgroup (v2) or cgroups (v1) of one job."""

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


def open_groups() -> Groups:
    """The cgroups of this host, proved by making one. Raises CgroupsUnavailable with a remedy."""
    mounts = _controller_mounts()
    own = _own_groups()
    if all(controller in mounts for controller in V1_CONTROLLERS):
        groups: Groups = _GroupsV1({c: _join(mounts[c], own.get(c, "/")) for c in V1_CONTROLLERS})
    elif "" in mounts:
        groups = _delegated_v2(_join(mounts[""], own.get("", "/")))
    else:
        raise CgroupsUnavailable("mount the cgroup controllers memory, pids and cpu")
    name = f"hypernode-check-{os.getpid()}"
    try:
        groups.make(name, 64 << 20, 8, 1000).remove()
    except OSError as error:
        raise CgroupsUnavailable(
            f"cgroups are not writable ({error.strerror}): run the node as root, or as a service with Delegate=yes"
        ) from error
    return groups


# ------------------------------------------------------------------------------------------------ version 1


class _GroupV1:
    def __init__(self, folders: dict[str, str]) -> None:
        self._folders = folders

    def enter(self) -> None:
        for folder in dict.fromkeys(self._folders.values()):
            _write(f"{folder}/cgroup.procs", "0")

    def kill(self) -> bool:
        return _kill_all(self._folders.values())

    def use(self) -> Use:
        control = dict(line.split() for line in _read(f"{self._folders['memory']}/memory.oom_control").splitlines())
        return Use(
            cpu_ms=int(_read(f"{self._folders['cpuacct']}/cpuacct.usage")) // 1_000_000,
            memory_peak_bytes=int(_read(f"{self._folders['memory']}/memory.max_usage_in_bytes")),
            memory_kills=int(control.get("oom_kill", 0)),
        )

    def remove(self) -> bool:
        return _remove_all(self._folders.values())


class _GroupsV1:
    version = "v1"

    def __init__(self, parents: dict[str, str]) -> None:
        self._parents = parents

    def make(self, name: str, memory_bytes: int, processes: int, cpu_milli: int) -> Group:
        folders = {controller: f"{parent}/{name}" for controller, parent in self._parents.items()}
        group = _GroupV1(folders)
        try:
            for folder in dict.fromkeys(folders.values()):
                os.mkdir(folder)
            _write(f"{folders['memory']}/memory.limit_in_bytes", memory_bytes)
            # Memory and swap together: without it a job could go on in the host's swap. Absent where swap
            # accounting is off; there memory.swappiness keeps the job's pages out of it.
            try:
                _write(f"{folders['memory']}/memory.memsw.limit_in_bytes", memory_bytes)
            except OSError:
                _write(f"{folders['memory']}/memory.swappiness", 0)
            _write(f"{folders['pids']}/pids.max", processes)
            _write(f"{folders['cpu']}/cpu.cfs_period_us", PERIOD_US)
            _write(f"{folders['cpu']}/cpu.cfs_quota_us", _quota_us(cpu_milli))
        except BaseException:
            group.remove()
            raise
        return group

    def left_over(self, prefix: str) -> list[Group]:
        mounts = _controller_mounts()
        found: list[Group] = []
        for controller in V1_CONTROLLERS:
            root = mounts[controller][0]
            found.extend(_GroupV1({controller: folder}) for folder in _named(root, prefix))
        return found


# ------------------------------------------------------------------------------------------------ version 2
# Not exercised on hosts with version 1 (a host has one or the other); kept as plain as the documentation allows.


class _GroupV2:
    def __init__(self, folder: str) -> None:
        self._folder = folder

    def enter(self) -> None:
        _write(f"{self._folder}/cgroup.procs", "0")

    def kill(self) -> bool:
        if _members(self._folder):
            try:
                _write(f"{self._folder}/cgroup.kill", 1)
            except OSError:  # before Linux 5.14
                return _kill_all([self._folder])
        return not _members(self._folder)

    def use(self) -> Use:
        cpu = dict(line.split() for line in _read(f"{self._folder}/cpu.stat").splitlines())
        events = dict(line.split() for line in _read(f"{self._folder}/memory.events").splitlines())
        try:
            peak = int(_read(f"{self._folder}/memory.peak"))
        except OSError:  # before Linux 5.19
            peak = int(_read(f"{self._folder}/memory.current"))
        return Use(int(cpu.get("usage_usec", 0)) // 1000, peak, int(events.get("oom_kill", 0)))

    def remove(self) -> bool:
        return _remove_all([self._folder])


class _GroupsV2:
    version = "v2"

    def __init__(self, parent: str, root: str) -> None:
        self._parent = parent
        self._root = root

    def make(self, name: str, memory_bytes: int, processes: int, cpu_milli: int) -> Group:
        folder = f"{self._parent}/{name}"
        os.mkdir(folder)
        group = _GroupV2(folder)
        try:
            _write(f"{folder}/memory.max", memory_bytes)
            if os.path.exists(f"{folder}/memory.swap.max"):
                _write(f"{folder}/memory.swap.max", 0)
            _write(f"{folder}/memory.oom.group", 1)
            _write(f"{folder}/pids.max", processes)
            _write(f"{folder}/cpu.max", f"{_quota_us(cpu_milli)} {PERIOD_US}")
        except BaseException:
            group.remove()
            raise
        return group

    def left_over(self, prefix: str) -> list[Group]:
        return [_GroupV2(folder) for folder in _named(self._root, prefix)]


def _delegated_v2(own: str) -> Groups:
    """Enable the controllers below our own group. A group with processes cannot have controlled children, so the
    node's own two processes step aside into a leaf; if others share the group, it isn't ours to reorganise."""
    control = f"{own}/cgroup.subtree_control"
    wanted = " ".join(f"+{controller}" for controller in V2_CONTROLLERS)
    remedy = "give the node its own cgroup: run it as a service (or systemd-run --scope) with Delegate=yes"
    try:
        if set(V2_CONTROLLERS) <= set(_read(control).split()):
            return _GroupsV2(own, own)
        if os.path.basename(own) == "hypernode-agent":  # a launcher started again: the first one stepped aside
            return _delegated_v2(os.path.dirname(own))
        ours = {os.getpid(), os.getppid()}
        if own_is_root := not os.path.exists(f"{own}/cgroup.type"):
            pass  # the root group may hold processes and children alike
        elif set(_members(own)) <= ours:
            leaf = f"{own}/hypernode-agent"
            os.makedirs(leaf, exist_ok=True)
            for process in ours:
                _write(f"{leaf}/cgroup.procs", process)
        if own_is_root or not _members(own):
            _write(control, wanted)
            return _GroupsV2(own, own)
    except OSError as error:
        raise CgroupsUnavailable(f"{remedy} ({error.strerror})") from error
    raise CgroupsUnavailable(remedy)


# ------------------------------------------------------------------------------------------------ shared


def _controller_mounts() -> dict[str, tuple[str, str]]:
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


def _own_groups() -> dict[str, str]:
    found: dict[str, str] = {}
    with open("/proc/self/cgroup") as lines:
        for line in lines:
            _, controllers, path = line.rstrip("\n").split(":", 2)
            for controller in controllers.split(","):
                found[controller] = path
    return found


def _join(mounted: tuple[str, str], group: str) -> str:
    """Where on the file system a group lies, given which part of the tree is mounted (containers see a part)."""
    point, root = mounted
    if root != "/" and (group == root or group.startswith(root + "/")):
        group = group[len(root) :]
    return (point + "/" + group.strip("/")).rstrip("/")


def _quota_us(cpu_milli: int) -> int:
    return max(1000, cpu_milli * PERIOD_US // 1000)  # the kernel refuses less than 1 ms


def _named(root: str, prefix: str) -> list[str]:
    found: list[str] = []
    for folder, names, _ in os.walk(root):
        found.extend(f"{folder}/{name}" for name in names if name.startswith(prefix))
    return found


def _members(folder: str) -> list[int]:
    try:
        return [int(line) for line in _read(f"{folder}/cgroup.procs").split()]
    except FileNotFoundError:
        return []


def _kill_all(folders: Iterable[str]) -> bool:
    empty = True
    for folder in dict.fromkeys(folders):
        for process in _members(folder):
            empty = False
            if process > 0:  # 0 is a process outside our pid namespace: never signal our own process group
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
    return empty


def _remove_all(folders: Iterable[str]) -> bool:
    gone = True
    for folder in dict.fromkeys(folders):
        try:
            os.rmdir(folder)
        except FileNotFoundError:
            pass
        except OSError:  # busy: its last process is still on the way out
            gone = False
    return gone


def _read(path: str) -> str:
    with open(path) as file:
        return file.read()


def _write(path: str, value: object) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, str(value).encode())
    finally:
        os.close(descriptor)
