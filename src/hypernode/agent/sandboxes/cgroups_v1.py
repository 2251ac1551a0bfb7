"""Cgroups version 1: one hierarchy per controller, and a folder of the job's in each."""

from __future__ import annotations

import os

from hypernode.agent.sandboxes import cgroup_tree as tree
from hypernode.agent.sandboxes.cgroup_tree import PERIOD_US, Group, Use

CONTROLLERS = ("memory", "pids", "cpu", "cpuacct")


class GroupV1:
    def __init__(self, folders: dict[str, str]) -> None:
        self._folders = folders

    @property
    def folders(self) -> dict[str, str]:
        return self._folders

    def enter(self) -> None:
        for folder in dict.fromkeys(self._folders.values()):
            tree.write(f"{folder}/cgroup.procs", "0")

    def kill(self) -> bool:
        return tree.kill_all(self._folders.values())

    def use(self) -> Use:
        control = dict(line.split() for line in tree.read(f"{self._folders['memory']}/memory.oom_control").splitlines())
        return Use(
            cpu_ms=int(tree.read(f"{self._folders['cpuacct']}/cpuacct.usage")) // 1_000_000,
            memory_peak_bytes=int(tree.read(f"{self._folders['memory']}/memory.max_usage_in_bytes")),
            memory_kills=int(control.get("oom_kill", 0)),
        )

    def remove(self) -> bool:
        return tree.remove_all(self._folders.values())


class GroupsV1:
    version = "v1"

    def __init__(self, parents: dict[str, str]) -> None:
        self._parents = parents

    def make(self, name: str, memory_bytes: int, processes: int, cpu_milli: int) -> Group:
        folders = {controller: f"{parent}/{name}" for controller, parent in self._parents.items()}
        group = GroupV1(folders)
        try:
            for folder in dict.fromkeys(folders.values()):
                os.mkdir(folder)
            tree.write(f"{folders['memory']}/memory.limit_in_bytes", memory_bytes)
            # Memory and swap together: without it a job could go on in the host's swap. Absent where swap
            # accounting is off; there memory.swappiness keeps the job's pages out of it.
            try:
                tree.write(f"{folders['memory']}/memory.memsw.limit_in_bytes", memory_bytes)
            except OSError:
                tree.write(f"{folders['memory']}/memory.swappiness", 0)
            tree.write(f"{folders['pids']}/pids.max", processes)
            tree.write(f"{folders['cpu']}/cpu.cfs_period_us", PERIOD_US)
            tree.write(f"{folders['cpu']}/cpu.cfs_quota_us", tree.quota_us(cpu_milli))
        except BaseException:
            group.remove()
            raise
        return group

    def left_over(self, prefix: str) -> list[Group]:
        mounts = tree.controller_mounts()
        found: list[Group] = []
        for controller in CONTROLLERS:
            root = mounts[controller][0]
            found.extend(GroupV1({controller: folder}) for folder in tree.named(root, prefix))
        return found
