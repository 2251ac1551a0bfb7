"""What a container is made of, as the Docker API wants it said and as Podman's own API does.

Docker's is also understood by Podman, but not all of it: there a container could not be made without writable folders
of Podman's own, with our masks, or without the variables and volumes of its image.
"""

from __future__ import annotations

import json
from typing import Any, Final, NamedTuple

from hypernode.agent.sandboxes import child
from hypernode.agent.sandboxes.base import Limits, Mount
from hypernode.agent.sandboxes.cgroup_tree import PERIOD_US, quota_us
from hypernode.agent.sandboxes.engine import world

HOSTNAME: Final = "job"
SPARE_BYTES: Final = 16 << 20
"""How far the engine's own limit on memory lies above the task's where our cgroup around both holds that one."""


class Volume(NamedTuple):
    """A volume of the engine's that shows a device of ours."""

    name: str
    target: str


class Container(NamedTuple):
    """One task's container, before an engine's words for it."""

    name: str
    image: str
    runtime: str
    argv: tuple[str, ...]
    environment: dict[str, str]
    hidden: tuple[str, ...]
    """Variables of the image that the task does not have."""
    covered: tuple[Volume, ...]
    """Folders for which the image asks for writable volumes, and the volumes that keep them read-only, like the rest
    of it."""
    user: int
    working_folder: str
    binds: tuple[Mount, ...]
    volumes: tuple[Volume, ...]
    network: str
    """The container whose network is to be shared; "" for one of its own. Either has nothing but a loopback."""
    limits: Limits
    processes: int
    parent: str
    """Our cgroup, around the container's own; "" without one."""
    seccomp: str
    """The profile: a document for Docker, a path for Podman."""
    labels: dict[str, str]

    @property
    def memory_bytes(self) -> int:
        """The engine's own limit."""
        return self.limits.memory_bytes + (SPARE_BYTES if self.parent else 0)

    @property
    def temporary(self) -> list[str]:
        """Options of /tmp."""
        return ["rw", "exec", "nosuid", "nodev", f"size={self.limits.tmp_bytes}", "mode=1777"]

    @property
    def ulimits(self) -> dict[str, int]:
        """Always explicit: an engine's defaults may be more than it can set."""
        return {
            "core": 0,
            "fsize": max(self.limits.disk_bytes, self.limits.tmp_bytes),
            "memlock": child.LOCKED_BYTES,
            "msgqueue": 0,
            "nofile": child.OPEN_FILES,
            "nproc": self.processes,
        }


def docker(made: Container) -> dict[str, Any]:
    """The body of `POST /containers/create`."""
    binds = [
        {
            "Type": "bind",
            "Source": str(bind.source),
            "Target": bind.target,
            "ReadOnly": True,
            "BindOptions": {"Propagation": "rprivate", "NonRecursive": True},
        }
        for bind in made.binds
    ]
    volumes = [
        {"Type": "volume", "Source": volume.name, "Target": volume.target, "VolumeOptions": {"NoCopy": True}}
        for volume in made.volumes
    ]
    # A new volume gets what the image has there.
    covered = [
        {
            "Type": "volume",
            "Source": volume.name,
            "Target": volume.target,
            "ReadOnly": True,
            "VolumeOptions": {"Labels": made.labels},
        }
        for volume in made.covered
    ]
    body: dict[str, Any] = {
        "Image": made.image,
        "Entrypoint": list(made.argv),
        "Cmd": [],
        # A name alone takes away what the engine or the image would set.
        "Env": [*(f"{name}={value}" for name, value in made.environment.items()), *made.hidden, *_unset(made)],
        "User": f"{made.user}:{made.user}",
        "WorkingDir": made.working_folder,
        **({} if made.network else {"Hostname": HOSTNAME}),
        "AttachStdin": False,
        "AttachStdout": True,
        "AttachStderr": True,
        "Tty": False,
        "OpenStdin": False,
        "Healthcheck": {"Test": ["NONE"]},
        "Labels": made.labels,
        "HostConfig": {
            "Runtime": made.runtime,
            "NetworkMode": f"container:{made.network}" if made.network else "none",
            "IpcMode": "private",
            "CgroupnsMode": "private",
            "UsernsMode": "host",  # the user is one of the host's that owns nothing
            "Memory": made.memory_bytes,
            "MemorySwap": made.memory_bytes,
            "PidsLimit": made.processes,
            "CpuPeriod": PERIOD_US,
            "CpuQuota": quota_us(made.limits.cpu_milli),
            "OomScoreAdj": child.OOM_SCORE,
            "ReadonlyRootfs": True,
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges:true", f"seccomp={made.seccomp}"],
            "MaskedPaths": list(world.MASKED),
            "ReadonlyPaths": list(world.READ_ONLY),
            # runc gives it the mode of the image's own /tmp, so it had better be the user's. Podman takes no owner.
            "Tmpfs": {"/tmp": ",".join([*made.temporary, f"uid={made.user}", f"gid={made.user}"])},
            "ShmSize": made.limits.tmp_bytes,
            "Mounts": [*binds, *volumes, *covered],
            "Ulimits": [{"Name": name, "Soft": value, "Hard": value} for name, value in made.ulimits.items()],
            "LogConfig": {"Type": "none"},
            "RestartPolicy": {"Name": "no"},
            "Init": False,
            "Privileged": False,
        },
    }
    if made.parent:
        body["HostConfig"]["CgroupParent"] = made.parent
    if not made.network:
        body["HostConfig"] |= {"Dns": [world.NAME_SERVER], "DnsSearch": ["."]}
    return body


def podman(made: Container) -> dict[str, Any]:
    """The body of `POST /libpod/containers/create`."""
    private = {"nsmode": "private"}
    read_only = ["bind", "ro", "nosuid", "nodev", "rprivate"]
    body: dict[str, Any] = {
        "name": made.name,
        "image": made.image,
        "oci_runtime": made.runtime,
        "entrypoint": list(made.argv),
        "command": [],
        "env": made.environment,
        "unsetenvall": True,
        "user": f"{made.user}:{made.user}",
        "work_dir": made.working_folder,
        "create_working_dir": True,
        "hostname": HOSTNAME,
        "terminal": False,
        "stdin": False,
        "systemd": "false",
        "healthconfig": {"Test": ["NONE"]},
        "labels": made.labels,
        "netns": {"nsmode": "none"},
        "ipcns": private,
        "pidns": private,
        "utsns": private,
        "cgroupns": private,
        "userns": {"nsmode": "host"},
        "use_image_hosts": True,
        "use_image_resolv_conf": True,
        "resource_limits": {
            "memory": {"limit": made.memory_bytes, "swap": made.memory_bytes},
            "pids": {"limit": made.processes},
            "cpu": {"period": PERIOD_US, "quota": quota_us(made.limits.cpu_milli)},
        },
        "r_limits": [{"type": name.upper(), "soft": value, "hard": value} for name, value in made.ulimits.items()],
        "oom_score_adj": child.OOM_SCORE,
        "read_only_filesystem": True,
        "read_write_tmpfs": False,
        "image_volume_mode": "ignore",
        "cap_drop": ["all"],
        "no_new_privileges": True,
        "seccomp_policy": "default",
        "seccomp_profile_path": made.seccomp,
        "mask": list(world.MASKED),
        "mounts": [
            *(
                {"type": "bind", "source": str(bind.source), "destination": bind.target, "options": read_only}
                for bind in made.binds
            ),
            {"type": "tmpfs", "source": "tmpfs", "destination": "/tmp", "options": made.temporary},
        ],
        "volumes": [
            {"Name": volume.name, "Dest": volume.target, "Options": ["rw", "nocopy", "nosuid", "nodev", "noexec"]}
            for volume in made.volumes
        ],
        "shm_size": made.limits.tmp_bytes,
        "log_configuration": {"driver": "none"},
        "restart_policy": "no",
        "init": False,
    }
    if made.parent:
        body["cgroup_parent"] = made.parent
    return body


def volume(name: str, device: str, labels: dict[str, str]) -> dict[str, Any]:
    """The body of `POST /volumes/create`: the engine mounts the device while the container runs."""
    options = {"type": "ext4", "device": device, "o": "nosuid,nodev,noexec,noatime"}
    return {"Name": name, "Driver": "local", "DriverOpts": options, "Labels": labels}


def profile(document: dict[str, Any]) -> str:
    """A system call profile as text."""
    return json.dumps(document, separators=(",", ":"))


def _unset(made: Container) -> list[str]:
    return [name for name in ("HOSTNAME",) if name not in made.environment]
