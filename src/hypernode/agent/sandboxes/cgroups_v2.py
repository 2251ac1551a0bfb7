"""Cgroups version 2: one tree, of which the node needs a part delegated to it.

Limits are not exercised on hosts with version 1 (a controller belongs to one or the other); kept as plain as the
kernel's documentation allows.
"""

from __future__ import annotations

import os

from hypernode.agent.sandboxes import cgroup_tree as tree
from hypernode.agent.sandboxes.cgroup_tree import PERIOD_US, CgroupsUnavailable, Group, Groups, Use

CONTROLLERS = ("memory", "pids", "cpu")


class GroupV2:
    def __init__(self, folder: str) -> None:
        self._folder = folder

    @property
    def folders(self) -> dict[str, str]:
        return {"": self._folder}

    def enter(self) -> None:
        tree.write(f"{self._folder}/cgroup.procs", "0")

    def kill(self) -> bool:
        if tree.members(self._folder):
            try:
                tree.write(f"{self._folder}/cgroup.kill", 1)
            except OSError:  # before Linux 5.14
                return tree.kill_all([self._folder])
        return not tree.members(self._folder)

    def use(self) -> Use:
        cpu = dict(line.split() for line in tree.read(f"{self._folder}/cpu.stat").splitlines())
        events = dict(line.split() for line in tree.read(f"{self._folder}/memory.events").splitlines())
        try:
            peak = int(tree.read(f"{self._folder}/memory.peak"))
        except OSError:  # before Linux 5.19
            peak = int(tree.read(f"{self._folder}/memory.current"))
        return Use(int(cpu.get("usage_usec", 0)) // 1000, peak, int(events.get("oom_kill", 0)))

    def remove(self) -> bool:
        return tree.remove_all([self._folder])


class GroupsV2:
    version = "v2"

    def __init__(self, parent: str, root: str) -> None:
        self._parent = parent
        self._root = root

    def make(self, name: str, memory_bytes: int, processes: int, cpu_milli: int) -> Group:
        folder = f"{self._parent}/{name}"
        os.mkdir(folder)
        group = GroupV2(folder)
        try:
            tree.write(f"{folder}/memory.max", memory_bytes)
            if os.path.exists(f"{folder}/memory.swap.max"):
                tree.write(f"{folder}/memory.swap.max", 0)
            tree.write(f"{folder}/memory.oom.group", 1)
            tree.write(f"{folder}/pids.max", processes)
            tree.write(f"{folder}/cpu.max", f"{tree.quota_us(cpu_milli)} {PERIOD_US}")
        except BaseException:
            group.remove()
            raise
        return group

    def left_over(self, prefix: str) -> list[Group]:
        return [GroupV2(folder) for folder in tree.named(self._root, prefix)]


def delegated(own: str) -> Groups:
    """Enable the controllers below our own group. A group with processes cannot have controlled children, so the
    node's own two processes step aside into a leaf; if others share the group, it isn't ours to reorganise."""
    control = f"{own}/cgroup.subtree_control"
    wanted = " ".join(f"+{controller}" for controller in CONTROLLERS)
    remedy = "give the node its own cgroup: run it as a service (or systemd-run --scope) with Delegate=yes"
    try:
        if set(CONTROLLERS) <= set(tree.read(control).split()):
            return GroupsV2(own, own)
        if os.path.basename(own) == "hypernode-agent":  # a launcher started again: the first one stepped aside
            return delegated(os.path.dirname(own))
        ours = {os.getpid(), os.getppid()}
        if own_is_root := not os.path.exists(f"{own}/cgroup.type"):
            pass  # the root group may hold processes and children alike
        elif set(tree.members(own)) <= ours:
            leaf = f"{own}/hypernode-agent"
            os.makedirs(leaf, exist_ok=True)
            for process in ours:
                tree.write(f"{leaf}/cgroup.procs", process)
        if own_is_root or not tree.members(own):
            tree.write(control, wanted)
            return GroupsV2(own, own)
    except OSError as error:
        raise CgroupsUnavailable(f"{remedy} ({error.strerror})") from error
    raise CgroupsUnavailable(remedy)
