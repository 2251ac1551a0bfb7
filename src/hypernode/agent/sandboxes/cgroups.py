"""Which control groups this host offers."""

from __future__ import annotations

import os

from hypernode.agent.sandboxes import cgroup_tree as tree
from hypernode.agent.sandboxes import cgroups_v1, cgroups_v2
from hypernode.agent.sandboxes.cgroup_tree import CgroupsUnavailable, Groups


def open_groups() -> Groups:
    """The cgroups of this host, proved by making one. Raises CgroupsUnavailable with a remedy."""
    mounts = tree.controller_mounts()
    own = tree.own_groups()
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
