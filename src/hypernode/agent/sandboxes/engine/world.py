"""What a task sees in a container: the host's system folders, or an image, and what is shown in either.

A task without an image must find what it finds under bubblewrap, so that its result does not depend on the backend.
So its image holds next to nothing (folders, links, five files of /etc), and the rest is the host's, read-only.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from hypernode.agent.sandboxes import owned, seccomp
from hypernode.agent.sandboxes.base import Mount, Task
from hypernode.agent.sandboxes.rootfs import SYSTEM_FOLDERS

REPORT_FOLDER: Final = "/report"
REPORT_FILE: Final = "report"
FOLDERS: Final = ("dev", "etc", "proc", "sys", "tmp", "usr")
"""Not /out: Podman would give a volume the owner of the folder that it covers."""
MASKED: Final = (
    *("/proc/acpi", "/proc/asound", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/kallsyms", "/proc/kcore"),
    *("/proc/keys", "/proc/latency_stats", "/proc/sched_debug", "/proc/scsi", "/proc/sysrq-trigger"),
    *("/proc/timer_list", "/proc/timer_stats", "/sys"),
)
READ_ONLY: Final = ("/proc/sys",)
NAME_SERVER: Final = "127.0.0.1"
"""Nobody. Without one Docker shows the host's own configuration."""


class BaseImage(NamedTuple):
    """The image of tasks without one, as engines load it."""

    name: str
    """Says what is in it: the same host and users make the same."""
    archive: bytes


def base_image(first_user: int, label: str, home: str) -> BaseImage:
    """The base image for tasks that run as `first_user` and up; it carries `label`, whose value is `home`."""
    layer = _archive(
        [(name, None, None) for name in FOLDERS]
        + [(f"etc/{name}", content, None) for name, content in _etc(first_user).items()]
        + [(f[1:], None, os.readlink(f)) for f in SYSTEM_FOLDERS if os.path.islink(f)]
        + [(f[1:], None, None) for f in SYSTEM_FOLDERS if os.path.isdir(f) and not os.path.islink(f)]
    )
    config: dict[str, Any] = {
        "architecture": seccomp.ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": {"Labels": {label: home}},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
        "history": [{"created": "1970-01-01T00:00:00Z"}],
    }
    data = json.dumps(config, sort_keys=True).encode()
    digest = hashlib.sha256(data).hexdigest()
    name = f"localhost/hypernode/base:{digest[:32]}"
    manifest = [{"Config": f"{digest}.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    archive = _archive(
        [
            (f"{digest}.json", data, None),
            ("layer.tar", layer, None),
            ("manifest.json", json.dumps(manifest).encode(), None),
        ]
    )
    return BaseImage(name, archive)


def binds(task: Task, empty: Path) -> list[Mount]:
    """The folders and files of the host that a task sees, outer ones first. `empty` is an empty folder."""
    system: list[Mount] = []
    if task.image is None:
        system.append(Mount(Path("/usr"), "/usr"))
        if os.path.isdir("/usr/local") and not any(m.target.startswith("/usr/local") for m in task.mounts):
            system.append(Mount(empty, "/usr/local"))  # what the operator put there is theirs
        for folder in SYSTEM_FOLDERS:
            if os.path.isdir(folder) and not os.path.islink(folder):
                system.append(Mount(Path(folder), folder))
    return [*system, *task.mounts]


def environment(task: Task) -> dict[str, str]:
    """Every variable of the task's program. HOSTNAME is all that Podman adds to them."""
    made = {"PATH": "/usr/bin:/bin", "HOME": "/tmp", "LANG": "C.UTF-8", **task.environment}
    made["PWD"] = task.working_folder  # as bubblewrap does
    if task.report:
        made["HYPERNODE_REPORT"] = f"{REPORT_FOLDER}/{REPORT_FILE}"
    return made


def _etc(first_user: int) -> dict[str, bytes]:
    """As bubblewrap's, but for the job's user, who has another number in every task here."""
    users = range(first_user, first_user + owned.USERS_PER_HOME)
    made = {
        "passwd": "".join(f"job:x:{user}:{user}:job:/tmp:/bin/sh\n" for user in users).encode(),
        "group": "".join(f"job:x:{user}:\n" for user in users).encode(),
        "hosts": b"127.0.0.1 localhost\n::1 localhost\n",
        "nsswitch.conf": b"passwd: files\ngroup: files\nhosts: files\n",
    }
    cache = Path("/etc/ld.so.cache")
    if cache.exists():
        made["ld.so.cache"] = cache.read_bytes()
    return made


def _archive(entries: Sequence[tuple[str, bytes | None, str | None]]) -> bytes:
    """A tar archive of files (name, content), links (name, target) and folders, without anything of now or here."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content, link in entries:
            entry = tarfile.TarInfo(name)
            entry.mode = 0o755
            if link is not None:
                entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, link, 0o777
                archive.addfile(entry)
            elif content is not None:
                entry.size, entry.mode = len(content), 0o644
                archive.addfile(entry, io.BytesIO(content))
            else:
                entry.type = tarfile.DIRTYPE
                entry.mode = 0o1777 if name == "tmp" else 0o755
                archive.addfile(entry)
    return buffer.getvalue()
