"""What a host offers to sandboxes, found out by trying it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from hypernode.agent.sandboxes import cgroups, namespaces, volumes
from hypernode.agent.sandboxes.cgroup_tree import CgroupsUnavailable, Groups

PLACES_PARENTS = ("/run", "/mnt", "/srv")


class Host(NamedTuple):
    """What the launcher found this host to offer."""

    home: str
    prefix: str
    """Starts the name of every cgroup of this home."""
    bubblewrap: str
    seccomp: bytes
    groups: Groups | None
    places: str
    """Folder, inside our own mount namespace, below which each job's mounts are bound; "" without one."""
    volumes: bool
    """Whether loop volumes work; else /out is a watched folder."""
    root: bool


def examine(home: str, prefix: str, bubblewrap: str, seccomp: bytes) -> tuple[Host, dict[str, str]]:
    """The host, and a remedy for each thing it does not offer. As root this process gets its own mount namespace."""
    missing: dict[str, str] = {}
    root = os.geteuid() == 0
    groups: Groups | None = None
    try:
        groups = cgroups.open_groups()
    except (CgroupsUnavailable, OSError) as error:
        missing["cgroups"] = str(error)
    places = private_place([home], missing) if root else ""
    if not root:
        missing["user"] = "run the node as root, so that every job gets a host user of its own"
        missing["disk"] = "run the node as root, so that outputs get a volume"
    found = Host(
        home=home,
        prefix=prefix,
        bubblewrap=bubblewrap,
        seccomp=seccomp,
        groups=groups,
        places=places,
        volumes=bool(places) and volumes_work(home, places, missing),
        root=root and bool(places),
    )
    return found, missing


def private_place(kept: Sequence[str], missing: dict[str, str]) -> str:
    """An empty tmpfs that only this process and its jobs see, over a folder that no job needs and nothing of `kept`
    is in. "" if that is not allowed; `missing` says then what to do."""
    try:
        namespaces.private_mounts()
        parent = next(
            folder
            for folder in PLACES_PARENTS
            if os.path.isdir(folder) and not any(f"{path}/".startswith(f"{folder}/") for path in kept)
        )
        namespaces.mount("hypernode", parent, "tmpfs", namespaces.MS_NOSUID | namespaces.MS_NODEV, "mode=755")
    except (OSError, StopIteration) as error:
        missing["mounts"] = f"allow the node to mount (CAP_SYS_ADMIN): {error}"
        return ""
    return parent


def volumes_work(home: str, places: str, missing: dict[str, str]) -> bool:
    """Whether a volume can be made here; `missing` says otherwise what to do."""
    place = f"{places}/check"
    os.mkdir(place)
    try:
        volumes.make(f"{home}/volumes", "check", place, volumes.MINIMUM_BYTES, 16, os.getuid())
    except OSError as error:
        missing["disk"] = f"install e2fsprogs and allow loop devices (/dev/loop-control): {error}"
        return False
    finally:
        volumes.destroy(place)
        os.rmdir(place)
    return True
