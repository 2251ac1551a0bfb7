"""The sandbox attacks itself, and what it may advertise is what held.

Flags and version numbers have lied before (engines that ignore limits and exit with 0): only trying counts.
"""

from __future__ import annotations

import asyncio
import os
import socket
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from hypernode.agent.interpreter import Interpreter
from hypernode.agent.sandboxes.base import (
    STDOUT,
    Capabilities,
    Failure,
    Limits,
    Mount,
    Outcome,
    Reason,
    SandboxError,
    Task,
)

if TYPE_CHECKING:
    from hypernode.agent.sandboxes.bubblewrap import BubblewrapSandbox

MIB = 1 << 20
LIMITS = Limits(
    cpu_milli=1000,
    memory_bytes=96 * MIB,
    processes=32,
    tmp_bytes=8 * MIB,
    disk_bytes=8 * MIB,
    files=64,
    log_bytes=64 << 10,
    wall_ms=10_000,
)
SHORT_MS = 700
SLACK_MS = 1500
PLACE = "/selftest"

_REMEDIES = {
    "memory": "give the node writable cgroups (run as root, or as a service with Delegate=yes)",
    "processes": "give the node writable cgroups (run as root, or as a service with Delegate=yes)",
    "cpu": "give the node writable cgroups (run as root, or as a service with Delegate=yes)",
    "network": "allow network namespaces for unprivileged users (kernel.unprivileged_userns_clone, AppArmor)",
    "time": "report this as a bug: the launcher did not kill at its deadline",
    "uid": "run the node as root, so that every job gets a host user of its own",
    "disk": "install e2fsprogs and allow loop devices, so that outputs get a volume",
    "files": "install e2fsprogs and allow loop devices, so that outputs get a volume",
    "log": "report this as a bug: output went past its limit",
    "calls": "update libseccomp: the system call filter does not hold",
    "host": "report this as a bug: a job could read or write files of the host",
}
# What the launcher could not get from this host decides these limits, and its reason is the better remedy.
_OFFERS = {
    "memory": "cgroups",
    "processes": "cgroups",
    "cpu": "cgroups",
    "uid": "user",
    "disk": "disk",
    "files": "disk",
}


class _Seen(NamedTuple):
    outcome: Outcome
    output: str
    host_user: int | None


async def prove(sandbox: BubblewrapSandbox, interpreter: Interpreter, offers: dict[str, Any]) -> Capabilities:
    """Run every attack, two at a time. Raises `sandbox.unavailable` if not even an empty program runs."""
    first = await _attack(sandbox, interpreter, "nothing")
    if first.outcome.reason is not Reason.EXITED or "fine" not in first.output:
        raise SandboxError("sandbox.unavailable", _why_nothing_runs(first))
    held = {"uid": first.host_user is not None and first.host_user not in (0, os.getuid())}
    turns = asyncio.Semaphore(2)

    async def one(limit: str) -> None:
        async with turns:
            held[limit] = await _CHECKS[limit](sandbox, interpreter)

    await asyncio.gather(*(one(limit) for limit in _CHECKS))
    missing: dict[str, str] = offers.get("missing", {})
    for limit, offer in _OFFERS.items():
        held[limit] = held[limit] and offer not in missing
    failed = [
        Failure(limit, missing.get(_OFFERS.get(limit, ""), _REMEDIES[limit]))
        for limit, good in sorted(held.items())
        if not good
    ]
    return Capabilities(
        backend="bubblewrap",
        isolation=1 if failed else 2,
        proved=tuple(sorted(limit for limit, good in held.items() if good)),
        failed=tuple(failed),
    )


async def _attack(
    sandbox: BubblewrapSandbox, interpreter: Interpreter, name: str, *arguments: str, limits: Limits = LIMITS
) -> _Seen:
    with resources.as_file(resources.files(__package__).joinpath("attacks.py")) as source:
        script = Path(source).resolve()
    task = Task(
        key=f"selftest-{name}-{os.getpid()}",
        argv=(interpreter.executable, "-I", "-S", f"{PLACE}/attacks.py", name, *arguments),
        environment=interpreter.environment,
        working_folder="/tmp",
        mounts=(*interpreter.mounts, Mount(script, f"{PLACE}/attacks.py")),
        limits=limits,
        outputs=name in ("disk", "files"),
    )
    output: list[bytes] = []
    user: list[int] = []

    def on_output(stream: int, data: bytes) -> None:
        output.append(data)
        if name == "nothing" and stream == STDOUT and not user:
            user.extend(_host_users(sandbox.launcher_pid))

    await sandbox.prepare(task)
    try:
        outcome = await sandbox.run(task, on_output)
    finally:
        await sandbox.release(task.key)
    return _Seen(outcome, b"".join(output).decode(errors="replace"), user[0] if user else None)


def _host_users(launcher: int | None) -> list[int]:
    """The host's view of who the launcher's child is."""
    found: list[int] = []
    try:
        children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
        for child in children:
            status = Path(f"/proc/{child}/status").read_text()
            found.append(int(status.split("\nUid:", 1)[1].split()[0]))
    except (OSError, IndexError, ValueError):
        pass
    return found


async def _memory(sandbox: BubblewrapSandbox, interpreter: Interpreter) -> bool:
    seen = await _attack(sandbox, interpreter, "memory", str(LIMITS.memory_bytes * 2))
    return "taken" not in seen.output and seen.outcome.exit_code != 0


async def _processes(sandbox: BubblewrapSandbox, interpreter: Interpreter) -> bool:
    seen = await _attack(sandbox, interpreter, "processes", str(LIMITS.processes * 2))
    return "refused" in seen.output


async def _cpu(sandbox: BubblewrapSandbox, interpreter: Interpreter) -> bool:
    """Two busy processes at a fifth of a CPU for half a second may use 0.1 s; unbounded they use 0.5 and more."""
    limits = msgspec.structs.replace(LIMITS, cpu_milli=200)
    seen = await _attack(sandbox, interpreter, "cpu", limits=limits)
    used, wall = seen.outcome.usage.cpu_ms, seen.outcome.usage.wall_ms
    return 0 < used <= wall * 0.2 + 60 and seen.outcome.reason is Reason.EXITED


async def _network(sandbox: BubblewrapSandbox, interpreter: Interpreter) -> bool:
    """A real listener on this host must be out of reach, by address and by abstract name."""
    name = f"\0hypernode-selftest-{os.getpid()}"
    with socket.socket() as bait, socket.socket(socket.AF_UNIX) as abstract:
        bait.bind(("127.0.0.1", 0))
        bait.listen()
        abstract.bind(name)
        abstract.listen()
        seen = await _attack(sandbox, interpreter, "network", str(bait.getsockname()[1]), name[1:])
    return "reached" not in seen.output and "tried" in seen.output


async def _time(sandbox: BubblewrapSandbox, interpreter: Interpreter) -> bool:
    seen = await _attack(sandbox, interpreter, "time", limits=msgspec.structs.replace(LIMITS, wall_ms=SHORT_MS))
    return seen.outcome.reason is Reason.TIMEOUT and seen.outcome.usage.wall_ms < SHORT_MS + SLACK_MS


async def _disk(sandbox: BubblewrapSandbox, interpreter: Interpreter) -> bool:
    seen = await _attack(sandbox, interpreter, "disk", str(LIMITS.disk_bytes * 2))
    return "out-bounded" in seen.output and "tmp-bounded" in seen.output


async def _files(sandbox: BubblewrapSandbox, interpreter: Interpreter) -> bool:
    seen = await _attack(sandbox, interpreter, "files")
    return "bounded" in seen.output


async def _log(sandbox: BubblewrapSandbox, interpreter: Interpreter) -> bool:
    seen = await _attack(sandbox, interpreter, "log")
    return seen.outcome.reason is Reason.LOG_LIMIT and len(seen.output) == LIMITS.log_bytes


async def _calls(sandbox: BubblewrapSandbox, interpreter: Interpreter) -> bool:
    seen = await _attack(sandbox, interpreter, "calls")
    return "tried" in seen.output and "allowed" not in seen.output


async def _host(sandbox: BubblewrapSandbox, interpreter: Interpreter) -> bool:
    seen = await _attack(sandbox, interpreter, "host")
    return "tried" in seen.output and "reached" not in seen.output


_CHECKS = {
    "memory": _memory,
    "processes": _processes,
    "cpu": _cpu,
    "network": _network,
    "time": _time,
    "disk": _disk,
    "files": _files,
    "log": _log,
    "calls": _calls,
    "host": _host,
}


def _why_nothing_runs(seen: _Seen) -> str:
    said = seen.outcome.detail or seen.output.strip()[-300:]
    if "namespace" in said or "Operation not permitted" in said or "setting up uid map" in said:
        return (
            f"this host refuses user namespaces ({said}): set kernel.unprivileged_userns_clone=1 and"
            " user.max_user_namespaces, or add an AppArmor profile for bwrap (Ubuntu 23.10 and later)"
        )
    return f"a trivial program does not run in bubblewrap: {said}"
