"""The sandbox attacks itself, and what it may advertise is what held.

Flags and version numbers have lied before (engines that ignore limits and exit with 0): only trying counts.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import NamedTuple

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
    Sandbox,
    SandboxError,
    Task,
)

MIB = 1 << 20
LIMITS = Limits(
    cpu_milli=1000,
    memory_bytes=96 * MIB,
    processes=32,
    tmp_bytes=8 * MIB,
    disk_bytes=8 * MIB,
    files=64,
    log_bytes=64 << 10,
    wall_ms=30_000,
)
SHORT_MS = 700
SLACK_MS = 5000
"""What may pass on a busy machine until a task past its deadline has ended; its program would go on for ever."""
TRIES = 3
"""Of an attack that came to no end of its own. One that got through is never tried again."""
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


class Subject(NamedTuple):
    """The sandbox that is to attack itself, and what it says about itself."""

    backend: str
    level: int
    """Its isolation if every limit holds; 1 otherwise."""
    missing: Mapping[str, str]
    """What the host does not offer (cgroups, user, disk) → the remedy."""
    host_user: Callable[[str], Awaitable[int | None]]
    """The host's user that the running task of a key is."""
    why_nothing_runs: Callable[[str], str]
    """A remedy, given what a trivial program that does not run says."""
    remedies: Mapping[str, str] = {}
    """Limit → a remedy that is better here than the general one."""
    own_kernel: bool = False
    """Whether tasks get a kernel of their own. What calls they make of it is then their own affair."""
    own_threads: int = 0
    """How many threads of the sandbox itself the limit on processes makes room for."""


class _Seen(NamedTuple):
    outcome: Outcome
    output: str
    host_user: int | None


class _Inconclusive(Exception):
    """The sandbox failed, or the machine was too busy: says nothing about a limit."""


class _Attacked(NamedTuple):
    sandbox: Sandbox
    interpreter: Interpreter
    subject: Subject


async def prove(sandbox: Sandbox, interpreter: Interpreter, subject: Subject) -> Capabilities:
    """Run every attack, two at a time. Raises `sandbox.unavailable` if not even an empty program runs."""
    attacked = _Attacked(sandbox, interpreter, subject)
    try:
        first = await _attack(attacked, "nothing")
    except SandboxError as error:
        if error.code != "sandbox.prepare_failed":
            raise
        raise SandboxError("sandbox.unavailable", subject.why_nothing_runs(str(error))) from error
    if first.outcome.reason is not Reason.EXITED or "fine" not in first.output:
        said = first.outcome.detail or first.output.strip()[-300:]
        raise SandboxError("sandbox.unavailable", subject.why_nothing_runs(said))
    held = {"uid": first.host_user is not None and first.host_user not in (0, os.getuid())}
    turns = asyncio.Semaphore(2)

    async def one(limit: str) -> None:
        for _ in range(TRIES):
            async with turns:
                try:
                    held[limit] = await _CHECKS[limit](attacked)
                    return
                except _Inconclusive:
                    pass
                except SandboxError as error:
                    if error.code != "sandbox.prepare_failed":
                        raise
        held[limit] = False  # what cannot even be tried is not proved

    await asyncio.gather(*(one(limit) for limit in _CHECKS))
    missing = subject.missing
    for limit, offer in _OFFERS.items():
        held[limit] = held[limit] and offer not in missing
    remedies = {**_REMEDIES, **subject.remedies}
    failed = [
        Failure(limit, missing.get(_OFFERS.get(limit, ""), remedies[limit]))
        for limit, good in sorted(held.items())
        if not good
    ]
    return Capabilities(
        backend=subject.backend,
        isolation=1 if failed else subject.level,
        proved=tuple(sorted(limit for limit, good in held.items() if good)),
        failed=tuple(failed),
    )


async def _attack(attacked: _Attacked, name: str, *arguments: str, limits: Limits = LIMITS) -> _Seen:
    sandbox, interpreter, subject = attacked
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
    user: list[int | None] = []

    async def on_output(stream: int, data: bytes) -> None:
        output.append(data)
        if name == "nothing" and stream == STDOUT and not user:
            user.append(await subject.host_user(task.key))

    await sandbox.prepare(task)
    try:
        outcome = await sandbox.run(task, on_output)
    finally:
        await sandbox.release(task.key)
    late = outcome.reason is Reason.TIMEOUT and limits.wall_ms == LIMITS.wall_ms
    if name != "nothing" and (late or outcome.reason is Reason.INFRASTRUCTURE):
        raise _Inconclusive
    return _Seen(outcome, b"".join(output).decode(errors="replace"), user[0] if user else None)


async def _memory(attacked: _Attacked) -> bool:
    seen = await _attack(attacked, "memory", str(LIMITS.memory_bytes * 2))
    return "taken" not in seen.output and seen.outcome.exit_code != 0


async def _processes(attacked: _Attacked) -> bool:
    """A kernel of its own may notice too late that the host refuses it threads. That is the end of it, then."""
    count = LIMITS.processes * 2 + attacked.subject.own_threads
    seen = await _attack(attacked, "processes", str(count))
    ended = attacked.subject.own_kernel and seen.outcome.exit_code != 0
    return "began" in seen.output and "unbounded" not in seen.output and ("refused" in seen.output or ended)


async def _cpu(attacked: _Attacked) -> bool:
    """Two busy processes at a fifth of a CPU for half a second may use 0.1 s; unbounded they use 0.5 and more."""
    limits = msgspec.structs.replace(LIMITS, cpu_milli=200)
    seen = await _attack(attacked, "cpu", limits=limits)
    used, wall = seen.outcome.usage.cpu_ms, seen.outcome.usage.wall_ms
    return 0 < used <= wall * 0.2 + 60 and seen.outcome.reason is Reason.EXITED


async def _network(attacked: _Attacked) -> bool:
    """A real listener on this host must be out of reach, by address and by abstract name."""
    name = f"\0hypernode-selftest-{os.getpid()}"
    with socket.socket() as bait, socket.socket(socket.AF_UNIX) as abstract:
        bait.bind(("127.0.0.1", 0))
        bait.listen()
        abstract.bind(name)
        abstract.listen()
        seen = await _attack(attacked, "network", str(bait.getsockname()[1]), name[1:])
    return "reached" not in seen.output and "tried" in seen.output


async def _time(attacked: _Attacked) -> bool:
    seen = await _attack(attacked, "time", limits=msgspec.structs.replace(LIMITS, wall_ms=SHORT_MS))
    return seen.outcome.reason is Reason.TIMEOUT and seen.outcome.usage.wall_ms < SHORT_MS + SLACK_MS


async def _disk(attacked: _Attacked) -> bool:
    seen = await _attack(attacked, "disk", str(LIMITS.disk_bytes * 2))
    return "out-bounded" in seen.output and "tmp-bounded" in seen.output


async def _files(attacked: _Attacked) -> bool:
    seen = await _attack(attacked, "files")
    return "bounded" in seen.output


async def _log(attacked: _Attacked) -> bool:
    seen = await _attack(attacked, "log")
    return seen.outcome.reason is Reason.LOG_LIMIT and len(seen.output) == LIMITS.log_bytes


async def _calls(attacked: _Attacked) -> bool:
    if attacked.subject.own_kernel:
        seen = await _attack(attacked, "kernel", *os.uname()[2:4], _boot_id())
        return "tried" in seen.output and "the host" not in seen.output
    seen = await _attack(attacked, "calls")
    return "tried" in seen.output and "allowed" not in seen.output


async def _host(attacked: _Attacked) -> bool:
    seen = await _attack(attacked, "host")
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


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
