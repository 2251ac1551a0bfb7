"""Which control groups this host offers."""

from __future__ import annotations

import os

from hypernode.agent.sandboxes import cgroup_tree as tree
from hypernode.agent.sandboxes import cgroups_v1, cgroups_v2
from hypernode.agent.sandboxes.cgroup_tree import CgroupsUnavailable, Group, Groups


def open_groups(*, at_root: bool = False) -> Groups:
    """The cgroups of this host, proved by making one. Raises CgroupsUnavailable with a remedy.

    `at_root`: where container engines make theirs, outside of whatever group this process runs in.
    """
    mounts = tree.controller_mounts()
    if at_root and any(root != "/" for _, root in mounts.values()):
        raise CgroupsUnavailable("run the node outside of any container: it sees a part of the cgroups only")
    own = {} if at_root else tree.own_groups()
    if all(controller in mounts for controller in cgroups_v1.CONTROLLERS):
        groups: Groups = cgroups_v1.GroupsV1({c: tree.join(mounts[c], own.get(c, "/")) for c in cgroups_v1.CONTROLLERS})
    elif "" in mounts:
        groups = cgroups_v2.delegated(tree.join(mounts[""], own.get("", "/")))
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


def of_process(process: int) -> Group:
    """The group that another has put a process in. Raises OSError if it has ended, CgroupsUnavailable."""
    mounts = tree.controller_mounts()
    found = tree.groups_of(process)
    if all(controller in mounts and controller in found for controller in cgroups_v1.CONTROLLERS):
        return cgroups_v1.GroupV1({c: tree.join(mounts[c], found[c]) for c in cgroups_v1.CONTROLLERS})
    if "" in mounts and "" in found:
        return cgroups_v2.GroupV2(tree.join(mounts[""], found[""]))
    raise CgroupsUnavailable("mount the cgroup controllers memory, pids and cpu")
