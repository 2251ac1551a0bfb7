"""What a job sees of the host: the options that have bubblewrap build its world.

Read-only system folders, an /etc of a few files of our own, a fresh /proc with what concerns the host masked, a
minimal /dev, and two places to write: /tmp (memory) and /out (its volume). Nothing else of the host, no network. A job
with an image sees that one's files instead of the system folders and of our /etc, and nothing of the host's at all.

One thing does show: /proc/self/mountinfo names the host folders behind the mounts. A home should have a dull name.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from hypernode.agent.sandboxes.base import Task
from hypernode.agent.sandboxes.image_root import ImageRoot

USER = 1000
"""The job's user inside. Outside it is an unprivileged user of its own: inside numbers mean nothing there."""
SYSTEM_FOLDERS = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
MASKED_FILES = ("/proc/keys", "/proc/timer_list", "/proc/kallsyms", "/proc/sched_debug", "/proc/sysrq-trigger")
MASKED_FOLDERS = ("/proc/acpi", "/proc/scsi", "/proc/asound", "/proc/bus", "/proc/fs", "/proc/irq")
WRITABLE = ("/tmp", "/out", "/dev/shm")

_ETC = {
    "passwd": f"job:x:{USER}:{USER}:job:/tmp:/bin/sh\n",
    "group": f"job:x:{USER}:\n",
    "hosts": "127.0.0.1 localhost\n::1 localhost\n",
    "hostname": "job\n",
    "resolv.conf": "",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
}


def make_etc(folder: Path) -> None:
    """Write the job's /etc. The loader's cache is copied: without it some libraries of the host are not found."""
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    for name, text in _ETC.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o644)
    (folder / "mtab").unlink(missing_ok=True)
    (folder / "mtab").symlink_to("/proc/mounts")
    if os.path.exists("/etc/ld.so.cache"):
        shutil.copyfile("/etc/ld.so.cache", folder / "ld.so.cache")
        (folder / "ld.so.cache").chmod(0o644)


def sources(task: Task, etc: Path) -> list[str]:
    """The host paths a task's sandbox is made of, in the order in which `options` numbers their places."""
    return [task.image.root if task.image is not None else str(etc), *(str(mount.source) for mount in task.mounts)]


def options(task: Task, places: list[str], output: str | None) -> list[str]:
    """bubblewrap's options. `places[i]` is where `sources()[i]` is reachable for the job's host user."""
    made = ["--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent", "--new-session"]
    made += ["--uid", str(USER), "--gid", str(USER), "--cap-drop", "ALL", "--hostname", "job"]
    image = None
    if task.image is not None:
        wanted = (task.working_folder, *(mount.target for mount in task.mounts))
        image = ImageRoot(task.image.root, places[0], wanted)
        made += image.options()
    else:
        made += [*_system(task), "--ro-bind", places[0], "/etc"]
    made += ["--proc", "/proc", *_masks(), "--dev", "/dev"]
    size = str(task.limits.tmp_bytes)
    made += ["--size", size, "--perms", "1777", "--tmpfs", "/tmp"]
    made += ["--size", size, "--perms", "1777", "--tmpfs", "/dev/shm", "--remount-ro", "/dev"]
    for mount, place in zip(task.mounts, places[1:], strict=True):
        made += ["--ro-bind", place, image.path(mount.target) if image is not None else mount.target]
    if output is not None:
        made += ["--bind", output, "/out"]
    folder = image.path(task.working_folder) if image is not None else task.working_folder
    if not (image.is_folder(task.working_folder) if image is not None else _exists_inside(task)):
        made += ["--dir", folder]
    # The root itself is a tmpfs without a size: closed once everything is in place.
    made += [*(image.closing() if image is not None else ()), "--remount-ro", "/", "--chdir", folder, "--clearenv"]
    for name, value in _environment(task.environment).items():
        made += ["--setenv", name, value]
    return made


def _environment(wanted: Mapping[str, str]) -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "HOME": "/tmp", "LANG": "C.UTF-8", **wanted}


def _system(task: Task) -> list[str]:
    made = ["--ro-bind", "/usr", "/usr"]
    if os.path.isdir("/usr/local") and not any(m.target.startswith("/usr/local") for m in task.mounts):
        # What the operator put there is theirs.
        made += ["--size", "4096", "--tmpfs", "/usr/local", "--remount-ro", "/usr/local"]
    for folder in SYSTEM_FOLDERS:
        if os.path.islink(folder):
            made += ["--symlink", os.readlink(folder), folder]
        elif os.path.isdir(folder):
            made += ["--ro-bind", folder, folder]
    return made


def _masks() -> list[str]:
    made = ["--ro-bind", "/proc/sys", "/proc/sys"]
    for path in MASKED_FILES:
        if os.path.exists(path):
            made += ["--ro-bind", "/dev/null", path]
    for path in MASKED_FOLDERS:
        if os.path.isdir(path):
            made += ["--size", "4096", "--tmpfs", path, "--remount-ro", path]
    return made


def _exists_inside(task: Task) -> bool:
    folder = task.working_folder.rstrip("/") or "/"
    if folder == "/" or folder in ("/tmp", "/dev/shm", "/usr", "/etc") or folder.startswith(("/usr/", "/tmp/")):
        return True
    if folder == "/out":
        return task.outputs
    return any(folder == m.target or folder.startswith(m.target.rstrip("/") + "/") for m in task.mounts)
