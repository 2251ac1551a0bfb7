"""What on a host belongs to one home: names that start with its prefix, and a range of users."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from hypernode.agent.sandboxes.base import SandboxError, Task

FIRST_USER = 231_072
USERS_PER_HOME = 256
HOMES = 4096

_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def prefix(home: Path) -> str:
    """Starts the names of what this home owns on the host: cgroups, containers, volumes."""
    return f"hypernode-{_digest(home)[:12]}-"


def first_user(home: Path) -> int:
    """The first of USERS_PER_HOME host users that tasks of this home run as.

    Two nodes on one host should not share users: a process may signal any other of its own user.
    """
    return FIRST_USER + int(_digest(home)[12:20], 16) % HOMES * USERS_PER_HOME


def _digest(home: Path) -> str:
    return hashlib.sha256(os.fsencode(home.resolve())).hexdigest()


def check(task: Task) -> None:
    """Refuse what a sandbox or the kernel would misread. Raises SandboxError `sandbox.task_invalid`."""
    problems: list[str] = []
    if not _KEY.fullmatch(task.key):
        problems.append("key is not a safe file name")
    if not task.argv or not task.argv[0]:
        problems.append("argv is empty")
    names = [*task.environment, *task.environment.values(), *task.argv, task.working_folder]
    names += [mount.target for mount in task.mounts]
    if any("\0" in text for text in names):
        problems.append("a NUL character")
    if any(not name or "=" in name for name in task.environment):
        problems.append("the name of an environment variable")
    folders = [task.working_folder, *(mount.target for mount in task.mounts)]
    if any(not folder.startswith("/") or ".." in folder.split("/") for folder in folders):
        problems.append("a path that is not absolute")
    limits = [getattr(task.limits, name) for name in task.limits.__struct_fields__]
    if any(limit is not None and limit <= 0 for limit in limits):
        problems.append("a limit that is not positive")
    if problems:
        raise SandboxError("sandbox.task_invalid", "; ".join(problems))
