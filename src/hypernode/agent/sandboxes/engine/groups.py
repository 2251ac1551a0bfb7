"""Our cgroup around an engine's own: the same limits once more, and what was used once the container has gone.

An engine makes the container's group below ours, in every hierarchy there is, and removes no more than that. What it
counts goes with it; ours counts everything below it and stays until we have read it.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from typing import Final

from hypernode.agent.sandboxes import cgroup_tree as tree
from hypernode.agent.sandboxes import cgroups
from hypernode.agent.sandboxes.cgroup_tree import CgroupsUnavailable, Group, Groups, Use

MONITOR: Final = "conmon"
"""The group of Podman's process beside the container, which says how that ended and ends by itself."""


class Around:
    """The group of one task, made on construction. Raises OSError, leaving nothing."""

    def __init__(self, groups: Groups, name: str, memory_bytes: int, processes: int, cpu_milli: int) -> None:
        self.path = f"/{name}"
        """As engines want it."""
        self._group = groups.make(name, memory_bytes, processes, cpu_milli)
        self._alarm = _memory_alarm(self._group.folders.get("memory"))
        self._alarmed = 0

    def kill(self) -> bool:
        """SIGKILL all but Podman's monitor, once. True if nothing else was there; call again until it is so."""
        return _kill(self._group, spare=MONITOR)

    def use(self) -> Use:
        """So far. In version 1 a group counts its own kills only, so there each time memory ran out counts as one."""
        use = self._group.use()
        if self._alarm >= 0:
            with contextlib.suppress(BlockingIOError):
                self._alarmed += os.eventfd_read(self._alarm)
        return use._replace(memory_kills=use.memory_kills + self._alarmed)

    def remove(self) -> bool:
        """Kill what is left, the monitor too. True if the group is gone, in every hierarchy."""
        if not _kill(self._group, spare=None):
            return False
        if self._alarm >= 0:
            os.close(self._alarm)
            self._alarm = -1
        name = self.path.removeprefix("/")
        return remove(lambda found: found == name)


class Inside:
    """The group that an engine made by itself for a container that runs, where nobody else may make one (systemd).
    Its counts are lost when it goes. So they are read now and then, and at once when the container's first process has
    ended, mostly before the engine has noticed."""

    path = ""

    def __init__(self, process: int, container: str) -> None:
        """`container` is part of the group's name. Raises OSError if the process has ended, CgroupsUnavailable."""
        self._group: Group = cgroups.of_process(process)
        if not all(container in folder for folder in self._group.folders.values()):
            raise CgroupsUnavailable("the engine makes no group for a container")  # and this one may be the host's
        self._last = self._group.use()

    def kill(self) -> bool:
        """See `Around.kill`."""
        return _kill(self._group, spare=MONITOR)

    def use(self) -> Use:
        """What could be read last."""
        with contextlib.suppress(OSError, KeyError, ValueError):
            self._last = self._group.use()
        return self._last

    def remove(self) -> bool:
        """The engine does."""
        return True


def remove(wanted: Callable[[str], bool]) -> bool:
    """Remove the groups of these names and what is below them, killing what is inside. True if none is left."""
    gone = True
    for point, _ in set(tree.controller_mounts().values()):
        for name in _names(point):
            if wanted(name):
                inner = tree.within(f"{point}/{name}")
                gone = tree.kill_all(inner) and tree.remove_all(inner) and gone
    return gone


def _names(folder: str) -> list[str]:
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    return []


def _kill(group: Group, spare: str | None) -> bool:
    """Only the hierarchy that bounds processes: a process is in the same group of each."""
    folder = group.folders.get("pids") or group.folders[""]
    empty = True
    for inner in tree.within(folder):
        if spare is not None and os.path.basename(inner) == spare:
            continue
        for process in tree.members(inner):
            empty = False
            if process > 0:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
    return empty


def _memory_alarm(folder: str | None) -> int:
    """A descriptor that counts how often memory ran out, version 1 only; -1 where the kernel does not offer it."""
    if folder is None:
        return -1
    alarm = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
    try:
        control = os.open(f"{folder}/memory.oom_control", os.O_RDONLY | os.O_CLOEXEC)
        try:
            tree.write(f"{folder}/cgroup.event_control", f"{alarm} {control}")
        finally:
            os.close(control)
    except OSError:
        os.close(alarm)
        return -1
    return alarm
