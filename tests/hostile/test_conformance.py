"""What every sandbox promises the agent, whatever it is made of: see `base.Sandbox`."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hostile.backends import ENGINES, AnySandbox, Backend, Differences, make
from hostile.conftest import LIMITS
from hypernode.agent.collect import CollectLimits
from hypernode.agent.egress import probe as egress
from hypernode.agent.environments import EnvironmentCache
from hypernode.agent.interpreter import Interpreter
from hypernode.agent.sandboxes.base import Mount, Outcome, Reason, Sandbox, SandboxError, Task
from hypernode.agent.wasm.host import WasmHost

MIB = 1 << 20
EVERY_LIMIT = {"calls", "cpu", "disk", "files", "host", "log", "memory", "network", "processes", "time", "uid"}
LeftOver = Callable[[], list[str]]
Settles = Callable[..., Any]


def shell(script: str, key: str = "task", **changes: Any) -> Task:
    """A task that runs a line of shell; `changes` replace fields of the task or of its limits."""
    limits = {name: changes.pop(name) for name in list(changes) if name in LIMITS.__struct_fields__}
    task = Task(
        key=key,
        argv=("/bin/sh", "-c", script),
        environment={},
        working_folder="/tmp",
        mounts=(),
        limits=msgspec.structs.replace(LIMITS, **limits),
        outputs=False,
    )
    return msgspec.structs.replace(task, **changes)


async def run(sandbox: Sandbox, task: Task) -> tuple[Outcome, str, str]:
    streams: dict[int, bytes] = {1: b"", 2: b""}

    def on_output(stream: int, data: bytes) -> None:
        streams[stream] += data

    await sandbox.prepare(task)
    try:
        outcome = await sandbox.run(task, on_output)
    finally:
        await sandbox.release(task.key)
    return outcome, streams[1].decode(), streams[2].decode()


async def test_it_proves_every_limit(sandbox: AnySandbox, backend: Backend, differs: Differences) -> None:
    began = time.monotonic()
    found = await sandbox.probe()
    assert found.failed == ()
    assert set(found.proved) >= EVERY_LIMIT
    assert (found.backend, found.isolation) == (backend.name.replace("-", "/"), 3 if differs.own_kernel else 2)
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("backend", ENGINES, indirect=True)
async def test_an_engine_that_lets_nobody_else_make_cgroups(
    backend: Backend, home: Path, interpreter: Interpreter, left_over: LeftOver, settles: Settles
) -> None:
    """As on most hosts with systemd: its own limits hold alone, and what was used is read from its own groups."""
    assert backend.engine is not None
    sandbox = make(msgspec.structs.replace(backend.engine, cgroup_driver="systemd"), home, interpreter)
    try:
        found = await sandbox.probe()
        assert found.failed == ()
        outcome, _, _ = await run(sandbox, shell("i=0; while [ $i -lt 600000 ]; do i=$((i+1)); done"))
        assert outcome.usage.cpu_ms > 100
        assert outcome.usage.memory_peak_bytes > MIB
        bomb = "b = [bytearray(b'x' * (8 << 20)) for _ in range(100)]"
        task = shell("", argv=(interpreter.executable, "-c", bomb), mounts=interpreter.mounts)
        task = msgspec.structs.replace(task, environment=interpreter.environment)
        assert (await run(sandbox, task))[0].reason is Reason.OUT_OF_MEMORY
    finally:
        await sandbox.close()
    assert await settles(left_over) == []


async def test_streams_arguments_and_environment(sandbox: AnySandbox) -> None:
    task = shell(
        "",
        argv=("/bin/sh", "-c", 'echo "$GREETING" "$1"; echo wrong >&2; pwd; cat', "sh", "ünï\ncode"),
        environment={"GREETING": "a=b c\n'"},
        working_folder="/somewhere",
    )
    outcome, stdout, stderr = await run(sandbox, task)
    assert (stdout, stderr) == ("a=b c\n' ünï\ncode\n/somewhere\n", "wrong\n")
    assert (outcome.reason, outcome.exit_code, outcome.signal, outcome.detail) == (Reason.EXITED, 0, None, "")
    assert outcome.usage.log_bytes == len((stdout + stderr).encode())


async def test_the_environment_is_the_tasks_own(sandbox: AnySandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_SECRET", "s3cret")
    task = shell("", argv=("/usr/bin/env",), environment={"ONE": "1", "PATH": "/usr/bin"})
    _, stdout, _ = await run(sandbox, task)
    found = dict(line.split("=", 1) for line in stdout.splitlines())
    assert found.pop("HOSTNAME", "job") == "job"  # Podman's
    assert found == {"PWD": "/tmp", "ONE": "1", "PATH": "/usr/bin", "HOME": "/tmp", "LANG": "C.UTF-8"}


@pytest.mark.parametrize(
    ("script", "code", "signal"), [("exit 3", 3, None), ("kill -9 $$", 137, 9), ("exit 255", 255, None)]
)
async def test_exit_codes(sandbox: AnySandbox, script: str, code: int, signal: int | None) -> None:
    # The first process of a container cannot be killed from inside.
    outcome, _, _ = await run(sandbox, shell(f"/bin/sh -c '{script}'; exit $?"))
    assert (outcome.reason, outcome.exit_code, outcome.signal) == (Reason.EXITED, code, signal)


@pytest.mark.parametrize(
    ("program", "code"), [("/no/such/program", 127), ("no-such-program", 127), ("/etc/passwd", 126), ("/usr", 126)]
)
async def test_a_program_that_cannot_be_run_is_the_tasks_own_fault(
    sandbox: AnySandbox, backend: Backend, program: str, code: int, left_over: LeftOver, settles: Settles
) -> None:
    outcome, _, _ = await run(sandbox, shell("", argv=(program,)))
    assert outcome.reason is Reason.EXITED
    assert outcome.exit_code == (127 if backend.name == "bubblewrap" else code)
    assert program in outcome.detail
    assert await settles(left_over) == []


async def test_preparation_does_not_start_the_program_and_is_not_billed(sandbox: AnySandbox) -> None:
    task = shell("date +%s%N; sleep 0.5")
    printed: list[bytes] = []
    started: list[float] = []
    await sandbox.prepare(task)
    await asyncio.sleep(0.5)
    before = time.time_ns()
    outcome = await sandbox.run(task, lambda stream, data: printed.append(data), lambda: started.append(time.time()))
    await sandbox.release(task.key)
    assert int(b"".join(printed)) >= before
    assert len(started) == 1
    assert 480 <= outcome.usage.wall_ms < 900


async def test_many_at_once_under_users_of_their_own(sandbox: AnySandbox, tmp_path: Path, differs: Differences) -> None:
    tasks = [shell("id -u > /out/x; sleep 0.3", f"task-{n}", outputs=True) for n in range(4)]

    async def one(task: Task) -> str:
        await sandbox.prepare(task)
        assert (await sandbox.run(task, lambda stream, data: None)).exit_code == 0
        collected = await sandbox.outputs(task.key, ["x"], tmp_path / "spool", CollectLimits())
        return (tmp_path / "spool" / collected.accepted[0].sha256).read_text().strip()

    users = await asyncio.gather(*(one(task) for task in tasks))
    for task in tasks:
        await sandbox.release(task.key)
    assert len(set(users)) == (1 if differs.user_inside else 4)


async def test_a_reader_that_fails_ends_its_task(sandbox: AnySandbox, left_over: LeftOver, settles: Settles) -> None:
    task = shell("while :; do echo x; done")

    def broken(stream: int, data: bytes) -> None:
        raise ZeroDivisionError

    await sandbox.prepare(task)
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(sandbox.run(task, broken), 10)
    assert [line for line in left_over() if line.startswith("process")] == []
    await sandbox.release(task.key)
    assert await settles(left_over) == []


async def test_a_slow_reader_gets_everything_and_cannot_stop_the_clock(sandbox: AnySandbox) -> None:
    task = shell("head -c 600000 /dev/zero; exec sleep 60", wall_ms=700)
    got = 0

    async def slow(stream: int, data: bytes) -> None:
        nonlocal got
        got += len(data)
        await asyncio.sleep(0.03)

    await sandbox.prepare(task)
    outcome = await sandbox.run(task, slow)
    await sandbox.release(task.key)
    assert outcome.reason is Reason.TIMEOUT
    assert outcome.usage.wall_ms < 1500
    # What had not been read when it was killed has never left it.
    assert 256 << 10 <= got <= 600_000


async def test_exactly_the_log_limit_is_fine(sandbox: AnySandbox) -> None:
    outcome, stdout, _ = await run(sandbox, shell("head -c 100000 /dev/zero", log_bytes=100_000))
    assert (outcome.reason, len(stdout)) == (Reason.EXITED, 100_000)
    outcome, stdout, _ = await run(sandbox, shell("head -c 100001 /dev/zero", log_bytes=100_000))
    assert (outcome.reason, len(stdout)) == (Reason.LOG_LIMIT, 100_000)


async def test_outputs_need_an_ended_task_with_outputs(sandbox: AnySandbox, tmp_path: Path) -> None:
    task = shell("exec sleep 60", outputs=True)
    await sandbox.prepare(task)
    for key in (task.key, "unknown"):
        with pytest.raises(SandboxError) as refused:
            await sandbox.outputs(key, ["**"], tmp_path / "spool", CollectLimits())
        assert refused.value.code == "sandbox.task_unknown"
    await sandbox.release(task.key)


@pytest.mark.parametrize(
    "changes",
    [
        {"key": "../up"},
        {"argv": ()},
        {"argv": ("a\0b",)},
        {"environment": {"A=B": "c"}},
        {"working_folder": "/tmp/../etc"},
        {"mounts": (Mount(Path("/usr"), "relative"),)},
        {"wall_ms": 0},
    ],
)
async def test_invalid_tasks_are_refused(sandbox: AnySandbox, changes: dict[str, Any]) -> None:
    with pytest.raises(SandboxError) as refused:
        await sandbox.prepare(shell("true", **changes))
    assert refused.value.code == "sandbox.task_invalid"


async def test_a_missing_source_fails_in_prepare_and_leaves_nothing(
    sandbox: AnySandbox, tmp_path: Path, left_over: LeftOver, settles: Settles
) -> None:
    with pytest.raises(SandboxError) as failed:
        await sandbox.prepare(shell("true", outputs=True, mounts=(Mount(tmp_path / "missing", "/data"),)))
    assert failed.value.code == "sandbox.prepare_failed"
    assert await settles(left_over) == []
    assert (await run(sandbox, shell("true")))[0].exit_code == 0, "the key should be free again"


async def test_a_task_runs_once(sandbox: AnySandbox) -> None:
    task = shell("true")
    await sandbox.prepare(task)
    with pytest.raises(SandboxError, match="already"):
        await sandbox.prepare(task)
    await sandbox.run(task, lambda stream, data: None)
    with pytest.raises(SandboxError, match="not prepared"):
        await sandbox.run(task, lambda stream, data: None)
    await sandbox.release(task.key)


async def test_close_ends_everything_and_the_sandbox_can_be_used_again(
    sandbox: AnySandbox, left_over: LeftOver, settles: Settles
) -> None:
    task = shell("echo x; exec sleep 60", outputs=True)
    await sandbox.prepare(task)
    spoke = asyncio.Event()
    running = asyncio.create_task(sandbox.run(task, lambda stream, data: spoke.set()))
    await asyncio.wait_for(spoke.wait(), 20)
    await sandbox.close()
    assert (await asyncio.wait_for(running, 20)).reason in (Reason.INFRASTRUCTURE, Reason.CANCELLED)
    await sandbox.close()
    assert await settles(left_over) == []
    assert (await run(sandbox, shell("true")))[0].exit_code == 0


async def test_an_environment_works_inside(sandbox: AnySandbox, interpreter: Interpreter, tmp_path: Path) -> None:
    environment = await EnvironmentCache(tmp_path / "environments", interpreter).get(None)
    script = "import ctypes, sqlite3, ssl, sys, zlib; print(sys.prefix, sys.version_info[:2], sys.flags.no_site)"
    task = shell("", mounts=environment.mounts, environment=environment.environment)
    for program in ("python", environment.python):
        outcome, stdout, stderr = await run(sandbox, msgspec.structs.replace(task, argv=(program, "-c", script)))
        assert outcome.exit_code == 0, stderr
        assert stdout == f"/env {sys.version_info[:2]} 0\n"


async def test_the_world_is_the_same(sandbox: AnySandbox) -> None:
    """Nothing of the host but its system folders, and five files of /etc, to which engines add what they must."""
    _, stdout, _ = await run(sandbox, shell("cd /; for f in * usr/local/* etc/*; do echo $f; done; echo x > /usr/x"))
    found = set(stdout.split())
    folders = {f"{f[1:]}" for f in ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32") if os.path.isdir(f)}
    assert found - {"run", "sys"} == {
        *("dev", "etc", "proc", "tmp", "usr", *folders, "usr/local/*"),
        *("etc/group", "etc/hosts", "etc/ld.so.cache", "etc/nsswitch.conf", "etc/passwd"),
        *(found & {"etc/hostname", "etc/mtab", "etc/resolv.conf"}),
    }


async def test_a_task_with_egress_gets_out_through_its_listener_alone(
    sandbox: AnySandbox, interpreter: Interpreter, differs: Differences, left_over: LeftOver, settles: Settles
) -> None:
    failure = await egress.probe(sandbox, interpreter)
    if differs.own_kernel:  # its loopback is inside that
        assert failure is not None
        with pytest.raises(SandboxError) as refused:
            await sandbox.prepare(shell("true", egress=True))
        assert refused.value.code == "sandbox.no_network"
    else:
        assert failure is None
    assert await settles(left_over) == []


async def test_webassembly_runs_in_it(sandbox: AnySandbox, interpreter: Interpreter, tmp_path: Path) -> None:
    """Its own proof: a module that answers, and is stopped at its fuel, its memory and its stack."""
    host = WasmHost(tmp_path / "wasm", interpreter, sandbox, 1 << 30)
    assert await host.probe() is None
    assert host.proved
