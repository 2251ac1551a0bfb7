"""From fork to exec: the few steps in which a copy of the launcher becomes a bubblewrap without rights.

The order matters. Joining cgroups needs the launcher's rights, so it comes before the user changes. The parent-death
signal is cleared by a change of user, so it comes after. bubblewrap started as root would map the job's user to the
host's root, so the user changes before bubblewrap, which then works from an unprivileged user namespace.
"""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Sequence
from typing import NamedTuple, NoReturn

from hypernode.agent.sandboxes import namespaces
from hypernode.agent.sandboxes.cgroup_tree import Group

OPEN_FILES = 1024
LOCKED_BYTES = 64 << 10
OOM_SCORE = 500
"""Where the whole host runs out of memory, jobs go before the host's own services."""


class Identity(NamedTuple):
    """Who a job is and what it may use where no cgroup says so."""

    user: int | None
    """Host user and group id to become; None to stay who we are."""
    group: Group | None
    file_bytes: int
    memory_bytes: int | None
    """Address space per process, only where there is no cgroup."""
    processes: int | None
    """Processes of the user, only where there is no cgroup."""


def spawn(
    program: str, argv: Sequence[str], identity: Identity, standard: tuple[int, int, int], keep: Sequence[int]
) -> int:
    """Fork, become `identity`, exec `program` with an empty environment. Returns the process id after the exec.

    `standard` become descriptors 0 to 2, `keep` stay open under their own numbers. Raises OSError if a step failed;
    no process is left then.
    """
    reader, writer = os.pipe()  # close-on-exec: its end without a byte says that the exec happened
    parent = os.getpid()
    process = os.fork()
    if process == 0:
        _become(program, argv, identity, standard, keep, writer, parent)
    os.close(writer)
    try:
        message = os.read(reader, 1000)
    finally:
        os.close(reader)
    if message:
        os.waitpid(process, 0)
        raise OSError(message.decode(errors="replace"))
    return process


def _become(
    program: str,
    argv: Sequence[str],
    identity: Identity,
    standard: tuple[int, int, int],
    keep: Sequence[int],
    writer: int,
    parent: int,
) -> NoReturn:
    step = "signals"
    try:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)  # Python ignores the last two, and ignoring survives an exec
        step = "descriptors"
        for target, source in enumerate(standard):
            os.dup2(source, target)
        for descriptor in keep:
            os.set_inheritable(descriptor, True)
        step = "cgroups"
        if identity.group is not None:
            identity.group.enter()
        step = "limits"
        _bound(identity)
        step = "user"
        if identity.user is not None:
            os.setgroups([])
            os.setresgid(identity.user, identity.user, identity.user)
            os.setresuid(identity.user, identity.user, identity.user)
        os.umask(0o022)
        step = "parent"
        namespaces.die_with_parent(parent, signal.SIGKILL)
        step = "exec"
        os.execve(program, list(argv), {})
    except BaseException as error:  # noqa: BLE001 - this copy of the launcher must never return into its loop
        os.write(writer, f"{step}: {error}".encode()[:900])
    finally:
        os._exit(127)


def _bound(identity: Identity) -> None:
    limits = [
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_FSIZE, identity.file_bytes),
        (resource.RLIMIT_MEMLOCK, LOCKED_BYTES),
        (resource.RLIMIT_MSGQUEUE, 0),
    ]
    if identity.memory_bytes is not None:
        limits.append((resource.RLIMIT_AS, identity.memory_bytes))
    if identity.processes is not None:
        limits.append((resource.RLIMIT_NPROC, identity.processes))
    for which, value in limits:
        _, hard = resource.getrlimit(which)
        if hard != resource.RLIM_INFINITY:
            value = min(value, hard)  # without CAP_SYS_RESOURCE even root can't raise a hard limit
        resource.setrlimit(which, (value, value))
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write(str(OOM_SCORE))
