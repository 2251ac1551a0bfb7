"""The bubblewrap backend as the agent uses it. What hostile programs do to it is in `tests/hostile`."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hypernode.agent import interpreter as interpreters
from hypernode.agent.collect import CollectLimits
from hypernode.agent.environments import EnvironmentCache
from hypernode.agent.interpreter import Interpreter
from hypernode.agent.sandboxes import seccomp, wire
from hypernode.agent.sandboxes.base import Mount, Outcome, Reason, Sandbox, SandboxError, Task
from hypernode.agent.sandboxes.bubblewrap import BubblewrapSandbox
from integration.sandbox_tools import LIMITS, MIB, run

EVERY_LIMIT = {"calls", "cpu", "disk", "files", "host", "log", "memory", "network", "processes", "time", "uid"}


@pytest.fixture(scope="module", autouse=True)
def root_on_linux() -> None:
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("the full sandbox needs Linux and root")


@pytest.fixture(scope="module")
def interpreter(tmp_path_factory: pytest.TempPathFactory) -> Interpreter:
    return interpreters.prepare(tmp_path_factory.mktemp("store"))


@pytest.fixture
async def sandbox(tmp_path: Path, interpreter: Interpreter) -> AsyncIterator[BubblewrapSandbox]:
    sandbox = BubblewrapSandbox(tmp_path / "home", interpreter)
    try:
        yield sandbox
    finally:
        await sandbox.close()


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


# ------------------------------------------------------------------------------------------------ probing


async def test_probe_proves_every_limit(sandbox: BubblewrapSandbox) -> None:
    capabilities = await sandbox.probe()
    assert capabilities.failed == ()
    assert set(capabilities.proved) == EVERY_LIMIT
    assert (capabilities.backend, capabilities.isolation) == ("bubblewrap", 2)


@pytest.mark.parametrize(
    ("limit", "broken"),
    [
        ("memory", {"memory_bytes": 4096 * MIB}),
        ("processes", {"processes": 4096}),
        ("cpu", {"cpu_milli": 4000}),
        ("disk", {"disk_bytes": 512 * MIB}),
        ("files", {"files": 20_000}),
    ],
)
async def test_probe_notices_a_limit_that_does_not_hold(
    sandbox: BubblewrapSandbox, monkeypatch: pytest.MonkeyPatch, limit: str, broken: dict[str, int]
) -> None:
    """A backend that takes the flag and ignores it: others have."""
    real = sandbox._request

    def lying(task: Task) -> dict[str, Any]:
        request = real(task)
        request["limits"].update(broken)
        return request

    monkeypatch.setattr(sandbox, "_request", lying)
    capabilities = await sandbox.probe()
    assert [failure.limit for failure in capabilities.failed] == [limit]
    assert capabilities.isolation == 1
    assert capabilities.failed[0].remedy


@pytest.mark.parametrize(("limit", "options"), [("network", ["--share-net"]), ("host", ["--ro-bind", "/var", "/var"])])
async def test_probe_notices_an_open_world(
    sandbox: BubblewrapSandbox, monkeypatch: pytest.MonkeyPatch, limit: str, options: list[str]
) -> None:
    real = sandbox._request

    def open_world(task: Task) -> dict[str, Any]:
        request = real(task)
        at = request["options"].index("--proc")
        request["options"][at:at] = options
        return request

    monkeypatch.setattr(sandbox, "_request", open_world)
    capabilities = await sandbox.probe()
    assert limit in [failure.limit for failure in capabilities.failed]


async def test_probe_notices_a_filter_that_lets_everything_through(
    sandbox: BubblewrapSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow_all = b"\x06\x00\x00\x00\x00\x00\xff\x7f"  # BPF_RET, SECCOMP_RET_ALLOW
    monkeypatch.setattr(seccomp, "program", lambda: allow_all)
    capabilities = await sandbox.probe()
    assert "calls" in [failure.limit for failure in capabilities.failed]


async def test_a_host_without_bubblewrap_is_told_what_to_do(
    tmp_path: Path, interpreter: Interpreter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(SandboxError, match="apt install bubblewrap") as refused:
        await BubblewrapSandbox(tmp_path, interpreter).probe()
    assert refused.value.code == "sandbox.unavailable"


async def test_a_bubblewrap_that_runs_nothing_is_unavailable(tmp_path: Path, interpreter: Interpreter) -> None:
    sandbox = BubblewrapSandbox(tmp_path / "home", interpreter, bubblewrap="/bin/false")
    with pytest.raises(SandboxError, match="does not run") as refused:
        await sandbox.probe()
    assert refused.value.code == "sandbox.unavailable"
    await sandbox.close()


async def test_an_ordinary_user_gets_the_degraded_sandbox(tmp_path: Path) -> None:
    """In a process of its own, as nobody, with this Python made reachable in a mount namespace."""
    script = """
import asyncio, sys
from pathlib import Path
from hypernode.agent import interpreter
from hypernode.agent.collect import CollectLimits
from hypernode.agent.sandboxes.base import Limits, Task
from hypernode.agent.sandboxes.bubblewrap import BubblewrapSandbox
async def main(home):
    sandbox = BubblewrapSandbox(home / "home", interpreter.prepare(home / "store"))
    found = await sandbox.probe()
    print(found.isolation, *sorted(found.proved))
    print(*sorted(failure.limit for failure in found.failed))
    limits = Limits(cpu_milli=1000, memory_bytes=1 << 30, processes=64, tmp_bytes=1 << 24, disk_bytes=1 << 22,
                    files=50, log_bytes=1 << 20, wall_ms=20000)
    for key, script in (("a", "echo 42 > result"), ("b", "while :; do echo $$ > $((i=i+1)); done")):
        task = Task(key=key, argv=("/bin/sh", "-c", script), environment={}, working_folder="/out", mounts=(),
                    limits=limits, outputs=True)
        await sandbox.prepare(task)
        outcome = await sandbox.run(task, lambda stream, data: None)
        collected = await sandbox.outputs(key, ["result"], home / "spool", CollectLimits())
        await sandbox.release(key)
        print(outcome.reason.value, *(accepted.size_bytes for accepted in collected.accepted))
    await sandbox.close()
    print(*(path.name for path in (home / "home" / "volumes").iterdir()))
asyncio.run(main(Path(sys.argv[1])))
"""
    home = tmp_path / "nobody"
    home.mkdir()
    os.chown(home, 65534, 65534)
    for folder in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        folder.chmod(0o755)
    prefix = Path(sys.base_prefix)
    private = next((p for p in (*reversed(prefix.parents), prefix) if not p.stat().st_mode & 0o001), None)
    reach = ":"
    if private is not None:  # show the interpreter below a folder that everybody may enter
        reach = (
            f"mkdir {tmp_path}/python && mount --bind {prefix} {tmp_path}/python"
            f" && mount -t tmpfs -o mode=755 none {private} && mkdir -p {prefix}"
            f" && mount --bind {tmp_path}/python {prefix}"
        )
    (tmp_path / "script.py").write_text(script)
    (tmp_path / "script.py").chmod(0o644)
    command = f'{reach} && exec setpriv --reuid 65534 --regid 65534 --clear-groups "$@"'
    done = await asyncio.to_thread(
        subprocess.run,
        ["unshare", "-m", "sh", "-c", command, "sh", sys.executable, str(tmp_path / "script.py"), str(home)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    proved, failed, first, second, left = done.stdout.split("\n")[:5]
    assert proved == "1 calls host log network time"
    assert failed == "cpu disk files memory processes uid"
    assert first == "exited 3"
    assert second == "disk_limit"
    assert left == ""


# ------------------------------------------------------------------------------------------------ running


async def test_streams_arguments_and_environment(sandbox: BubblewrapSandbox) -> None:
    task = shell(
        "",
        argv=("/bin/sh", "-c", 'echo "$GREETING" "$1"; echo wrong >&2; pwd', "sh", "ünï\ncode"),
        environment={"GREETING": "a=b c\n'"},
        working_folder="/somewhere",
    )
    outcome, stdout, stderr = await run(sandbox, task)
    assert (stdout, stderr) == ("a=b c\n' ünï\ncode\n/somewhere\n", "wrong\n")
    assert (outcome.reason, outcome.exit_code, outcome.signal, outcome.detail) == (Reason.EXITED, 0, None, "")
    assert outcome.usage.log_bytes == len((stdout + stderr).encode())


@pytest.mark.parametrize(
    ("script", "code", "signal"),
    [("exit 3", 3, None), ("kill -9 $$", 137, 9), ("kill -TERM $$", 143, 15), ("exit 255", 255, None)],
)
async def test_exit_codes(sandbox: BubblewrapSandbox, script: str, code: int, signal: int | None) -> None:
    outcome, _, _ = await run(sandbox, shell(script))
    assert (outcome.reason, outcome.exit_code, outcome.signal) == (Reason.EXITED, code, signal)


async def test_a_program_that_does_not_exist_is_the_tasks_own_fault(sandbox: BubblewrapSandbox) -> None:
    outcome, _, _ = await run(sandbox, shell("", argv=("/no/such/program",)))
    assert (outcome.reason, outcome.exit_code) == (Reason.EXITED, 127)
    assert "/no/such/program" in outcome.detail


async def test_what_looks_like_a_sandbox_error_but_is_not(sandbox: BubblewrapSandbox) -> None:
    """A job must not be able to pass its own failure off as ours, which would be retried at our cost."""
    outcome, _, _ = await run(sandbox, shell("echo 'bwrap: cannot mount' >&2; exit 1"))
    assert (outcome.reason, outcome.exit_code) == (Reason.EXITED, 1)


async def test_a_sandbox_that_cannot_be_built_is_infrastructure(sandbox: BubblewrapSandbox, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    outcome, _, _ = await run(sandbox, shell("true", mounts=(Mount(tmp_path / "file", "/usr/bin/new/place"),)))
    assert (outcome.reason, outcome.exit_code) == (Reason.INFRASTRUCTURE, None)
    assert "bwrap" in outcome.detail


async def test_a_missing_source_fails_in_prepare_and_leaves_nothing(sandbox: BubblewrapSandbox, tmp_path: Path) -> None:
    with pytest.raises(SandboxError) as failed:
        await sandbox.prepare(shell("true", mounts=(Mount(tmp_path / "missing", "/data"),)))
    assert failed.value.code == "sandbox.prepare_failed"
    assert (await run(sandbox, shell("true")))[0].exit_code == 0, "the key should be free again"


async def test_preparation_does_not_start_the_program_and_is_not_billed(sandbox: BubblewrapSandbox) -> None:
    task = shell("date +%s%N")
    printed: list[bytes] = []
    await sandbox.prepare(task)
    await asyncio.sleep(0.5)
    before = time.time_ns()
    outcome = await sandbox.run(task, lambda stream, data: printed.append(data))
    await sandbox.release(task.key)
    assert int(b"".join(printed)) >= before
    assert outcome.usage.wall_ms < 400


async def test_many_at_once_under_users_of_their_own(sandbox: BubblewrapSandbox, tmp_path: Path) -> None:
    tasks = [shell("echo $$ > /out/x; sleep 0.2", f"task-{n}", outputs=True, working_folder="/out") for n in range(8)]
    owners: list[int] = []

    async def one(task: Task) -> Outcome:
        await sandbox.prepare(task)
        outcome = await sandbox.run(task, lambda stream, data: None)
        assert sandbox._client is not None
        _, (root,) = await sandbox._client.ask("outputs", {"key": task.key})
        owners.append(os.stat("x", dir_fd=root).st_uid)
        os.close(root)
        return outcome

    started = time.monotonic()
    outcomes = await asyncio.gather(*(one(task) for task in tasks))
    assert time.monotonic() - started < 5
    assert [outcome.exit_code for outcome in outcomes] == [0] * 8
    assert len(set(owners)) == 8
    assert min(owners) >= 231_072
    for task in tasks:
        collected = await sandbox.outputs(task.key, ["x"], tmp_path / "spool", CollectLimits())
        assert len(collected.accepted) == 1
        await sandbox.release(task.key)


async def test_a_reader_that_fails_ends_its_task(sandbox: BubblewrapSandbox) -> None:
    task = shell("while :; do echo x; done")

    def broken(stream: int, data: bytes) -> None:
        raise ZeroDivisionError

    await sandbox.prepare(task)
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(sandbox.run(task, broken), 5)
    await sandbox.release(task.key)


async def test_a_slow_reader_gets_everything_and_cannot_stop_the_clock(sandbox: BubblewrapSandbox) -> None:
    task = shell("head -c 300000 /dev/zero; exec sleep 60", wall_ms=700)
    got = 0

    async def slow(stream: int, data: bytes) -> None:
        nonlocal got
        got += len(data)
        await asyncio.sleep(0.3)

    started: list[float] = []
    await sandbox.prepare(task)
    outcome = await sandbox.run(task, slow, lambda: started.append(time.monotonic()))
    await sandbox.release(task.key)
    assert outcome.reason is Reason.TIMEOUT
    assert outcome.usage.wall_ms < 1500
    assert got == 300_000
    assert len(started) == 1


async def test_exactly_the_log_limit_is_fine(sandbox: BubblewrapSandbox) -> None:
    outcome, stdout, _ = await run(sandbox, shell("head -c 1000 /dev/zero", log_bytes=1000))
    assert (outcome.reason, len(stdout)) == (Reason.EXITED, 1000)


async def test_outputs_need_an_ended_task_with_outputs(sandbox: BubblewrapSandbox, tmp_path: Path) -> None:
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
        {"key": ""},
        {"argv": ()},
        {"argv": ("a\0b",)},
        {"environment": {"A=B": "c"}},
        {"environment": {"": "c"}},
        {"working_folder": "relative"},
        {"working_folder": "/tmp/../etc"},
        {"mounts": (Mount(Path("/usr"), "relative"),)},
        {"wall_ms": 0},
        {"environment": {"LARGE": "x" * (wire.MESSAGE_BYTES + 1)}},
    ],
)
async def test_invalid_tasks_are_refused(sandbox: BubblewrapSandbox, changes: dict[str, Any]) -> None:
    with pytest.raises(SandboxError) as refused:
        await sandbox.prepare(shell("true", **changes))
    assert refused.value.code == "sandbox.task_invalid"


async def test_a_task_runs_once(sandbox: BubblewrapSandbox) -> None:
    task = shell("true")
    await sandbox.prepare(task)
    with pytest.raises(SandboxError, match="already"):
        await sandbox.prepare(task)
    await sandbox.run(task, lambda stream, data: None)
    with pytest.raises(SandboxError, match="not prepared"):
        await sandbox.run(task, lambda stream, data: None)
    await sandbox.release(task.key)


async def test_close_ends_everything_and_the_sandbox_can_be_used_again(sandbox: BubblewrapSandbox) -> None:
    task = shell("exec sleep 60")
    await sandbox.prepare(task)
    running = asyncio.create_task(sandbox.run(task, lambda stream, data: None))
    await asyncio.sleep(0.1)
    await sandbox.close()
    assert (await running).reason is Reason.INFRASTRUCTURE
    await sandbox.close()
    assert (await run(sandbox, shell("true")))[0].exit_code == 0


async def test_an_environment_works_inside(
    sandbox: BubblewrapSandbox, interpreter: Interpreter, tmp_path: Path
) -> None:
    environment = await EnvironmentCache(tmp_path / "environments", interpreter).get(None)
    script = "import ctypes, sqlite3, ssl, sys, zlib; print(sys.prefix, sys.version_info[:2], sys.flags.no_site)"
    task = shell("", mounts=environment.mounts, environment=environment.environment)
    for program in ("python", environment.python):
        outcome, stdout, stderr = await run(sandbox, msgspec.structs.replace(task, argv=(program, "-c", script)))
        assert outcome.exit_code == 0, stderr
        assert stdout == f"/env {sys.version_info[:2]} 0\n"


def test_the_backend_is_a_sandbox(tmp_path: Path, interpreter: Interpreter) -> None:
    backend: Sandbox = BubblewrapSandbox(tmp_path, interpreter)  # the type checker's test
    assert backend is not None


def test_the_system_call_profile_compiles_for_both_architectures() -> None:
    ours, other = seccomp.program("x86_64"), seccomp.program("aarch64")
    assert ours != other
    assert all(len(program) > 1000 and len(program) % 8 == 0 for program in (ours, other))
    with pytest.raises(SandboxError, match="riscv64"):
        seccomp.program("riscv64")
