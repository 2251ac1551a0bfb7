"""What is left when parts of the node are killed: nothing runs on, and what stays the next start removes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from engines import RunningEngine, running
from hostile.backends import AnySandbox, Backend, helper_pid, make
from hostile.conftest import look
from hypernode.agent.interpreter import Interpreter
from hypernode.agent.sandboxes import owned
from hypernode.agent.sandboxes.base import Reason, SandboxError, Task
from hypernode.agent.sandboxes.engine import sweep

MakeJob = Callable[..., Task]
LeftOver = Callable[[], list[str]]
Settles = Callable[..., Any]


def _running(look: LeftOver) -> list[str]:
    return [line for line in look() if line.startswith("process")]


async def _until_none_run(look: LeftOver, seconds: float = 3.0) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if not _running(look):
            return
        await asyncio.sleep(0.02)
    pytest.fail(f"still running: {_running(look)}")


class Agent:
    """See `agent.py`."""

    def __init__(self, home: Path, interpreter: Interpreter, backend: Backend, tmp_path: Path) -> None:
        here = Path(__file__).parent
        store = interpreter.mounts[0].source.parent.parent if interpreter.mounts else tmp_path
        engine = msgspec.json.encode(backend.engine, enc_hook=str).decode()
        self.process = subprocess.Popen(
            [sys.executable, str(here / "agent.py"), str(home), str(store), engine],
            env={**os.environ, "PYTHONPATH": str(here.parent)},
            stdout=subprocess.PIPE,
            text=True,
        )

    def wait_until_all_run(self) -> int:
        """The helper's process id, once every job has spoken."""
        assert self.process.stdout is not None
        said = [self.process.stdout.readline().split() for _ in range(3)]
        return int(said[0][1])


@pytest.fixture
def agent(home: Path, interpreter: Interpreter, backend: Backend, tmp_path: Path) -> Iterator[Agent]:
    agent = Agent(home, interpreter, backend, tmp_path)
    yield agent
    agent.process.kill()
    agent.process.wait()
    assert agent.process.stdout is not None
    agent.process.stdout.close()


async def test_a_killed_agent_leaves_nothing(agent: Agent, left_over: LeftOver, settles: Settles) -> None:
    await asyncio.to_thread(agent.wait_until_all_run)
    assert len(_running(left_over)) >= 3
    agent.process.send_signal(signal.SIGKILL)
    await _until_none_run(left_over)
    assert await settles(left_over, 15) == []


async def test_agent_and_helper_killed_together_leave_what_the_next_start_reaps(
    agent: Agent, home: Path, interpreter: Interpreter, backend: Backend, left_over: LeftOver, settles: Settles
) -> None:
    helper = await asyncio.to_thread(agent.wait_until_all_run)
    (home / "volumes" / "volume-half-made.ext4").write_bytes(b"x")
    os.kill(helper, signal.SIGSTOP)  # so that it cannot tidy up when its agent goes
    agent.process.send_signal(signal.SIGKILL)
    os.kill(helper, signal.SIGKILL)
    if backend.running is None:  # containers are the engine's, and run on: so the next start has to end them
        await _until_none_run(left_over)
        await _only(left_over, {"cgroup", "file"})
    assert any(line.startswith("cgroup") for line in left_over()), "nothing to reap: the test proves nothing"
    other = _foreign_cgroup()
    strangers = _foreign_containers(backend.running, home) if backend.running is not None else []
    try:
        sandbox = backend.make(home, interpreter)
        await sandbox.reap()
        await sandbox.close()
        left = await settles(lambda: [line for line in left_over() if not any(name in line for name in strangers)])
        assert left == []
        assert other.is_dir(), "reap touched what belongs to another node"
        for name in strangers:
            assert any(name in line for line in left_over()), "reap touched what belongs to another"
    finally:
        other.rmdir()
        for name in strangers:
            assert backend.running is not None
            _engine_call(backend.running, "DELETE", f"/containers/{name}")


async def _only(look: LeftOver, kinds: set[str]) -> list[str]:
    """Wait until only these kinds are left: mounts and devices go with the launcher's namespace."""
    for _ in range(150):
        if all(line.split()[0] in kinds for line in look()):
            break
        await asyncio.sleep(0.02)
    left = look()
    assert {line.split()[0] for line in left} <= kinds, left
    return left


def _foreign_cgroup() -> Path:
    parents = [Path("/sys/fs/cgroup/pids"), Path("/sys/fs/cgroup")]
    parent = next(path for path in parents if (path / "cgroup.procs").exists())
    other = parent / f"hypernode-{'0' * 12}-another-{os.getpid()}"
    other.mkdir()
    return other


def _foreign_containers(engine: RunningEngine, home: Path) -> list[str]:
    """One of another home, one of nobody, and one of somebody who runs an image that carries our label."""
    image = _engine_call(engine, "GET", "/images/json").json()[0]["Id"]
    other = f"hypernode-{'0' * 12}-"
    labels = {f"{other}job": {sweep.LABEL: other}, "stranger": {}, "pretender": {sweep.LABEL: owned.prefix(home)}}
    for name, label in labels.items():
        body = {"Image": image, "Cmd": ["/bin/true"], "Labels": label}
        _engine_call(engine, "POST", f"/containers/create?name={name}", body)
    return list(labels)


def _engine_call(engine: RunningEngine, method: str, path: str, body: object = None) -> httpx.Response:
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(engine.socket)), base_url="http://engine") as client:
        answer = client.request(method, path, json=body)
        answer.raise_for_status()
        return answer


async def _stubborn(sandbox: AnySandbox, task: Task) -> asyncio.Task[Any]:
    """A task that runs, once it has spoken."""
    await sandbox.prepare(task)
    spoke = asyncio.Event()
    running = asyncio.create_task(sandbox.run(task, lambda stream, data: spoke.set()))
    await asyncio.wait_for(spoke.wait(), 20)
    return running


async def test_a_killed_helper_ends_the_run_and_the_next_task_gets_a_new_one(
    sandbox: AnySandbox, make_job: MakeJob, left_over: LeftOver, settles: Settles
) -> None:
    running = await _stubborn(sandbox, task := make_job("stubborn"))
    os.kill(helper_pid(sandbox), signal.SIGKILL)
    outcome = await asyncio.wait_for(running, 10)
    assert outcome.reason is Reason.INFRASTRUCTURE
    await _until_none_run(left_over)
    await sandbox.release(task.key)
    await sandbox.reap()
    assert await settles(left_over) == []
    await sandbox.prepare(again := make_job("ordinary", key="again"))
    assert (await sandbox.run(again, lambda stream, data: None)).exit_code == 0
    await sandbox.release("again")


async def test_cancelling_a_run_kills_the_program(
    sandbox: AnySandbox, make_job: MakeJob, left_over: LeftOver, settles: Settles
) -> None:
    running = await _stubborn(sandbox, task := make_job("stubborn"))
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert _running(left_over) == []
    await sandbox.release(task.key)
    assert await settles(left_over) == []


@pytest.mark.parametrize("after_s", [0.0, 0.03, 0.1, 0.2])
async def test_cancelling_at_any_moment_leaves_nothing(
    sandbox: AnySandbox, make_job: MakeJob, left_over: LeftOver, settles: Settles, after_s: float
) -> None:
    """While it is made ready, while it starts; and a kill in the middle of its start is no failure of the sandbox."""
    await sandbox.prepare(first := make_job("ordinary", key="first"))  # everything is warm
    await sandbox.release(first.key)
    making = asyncio.create_task(sandbox.prepare(make_job("stubborn", key="making")))
    await asyncio.sleep(after_s)
    making.cancel()
    await asyncio.gather(making, return_exceptions=True)
    await sandbox.release("making")
    assert await settles(left_over) == []
    for way in ("cancel", "kill"):
        await sandbox.prepare(task := make_job("stubborn", key=way))
        running = asyncio.create_task(sandbox.run(task, lambda stream, data: None))
        await asyncio.sleep(after_s)
        if way == "cancel":
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(running, 15)
        else:
            await sandbox.kill(task.key, Reason.CANCELLED)
            outcome = await asyncio.wait_for(running, 15)
            assert (outcome.reason, outcome.exit_code) == (Reason.CANCELLED, None)
        assert _running(left_over) == []
        await sandbox.release(task.key)
        assert await settles(left_over) == []


async def test_kill_says_why(sandbox: AnySandbox, make_job: MakeJob) -> None:
    running = await _stubborn(sandbox, task := make_job("stubborn"))
    await sandbox.kill(task.key, Reason.CANCELLED)
    await sandbox.kill("no such task", Reason.CANCELLED)
    outcome = await asyncio.wait_for(running, 5)
    assert (outcome.reason, outcome.exit_code) == (Reason.CANCELLED, None)
    await sandbox.release(task.key)
    await sandbox.release(task.key)


async def test_two_agents_cannot_share_a_home(
    sandbox: AnySandbox, home: Path, interpreter: Interpreter, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hypernode.agent.sandboxes.client.LOCK_S", 0.3)
    await sandbox.reap()
    second = backend.make(home, interpreter)
    with pytest.raises(SandboxError) as refused:
        await second.reap()
    assert refused.value.code == "sandbox.in_use"


# ------------------------------------------------------------------------------------------------ engines that die


@pytest.fixture(params=["docker-runc", "docker-runsc", "podman-runc"])
def mortal(request: pytest.FixtureRequest) -> Iterator[tuple[RunningEngine, str]]:
    """An engine of the test's own, and a runtime of it."""
    kind, _, runtime = str(request.param).partition("-")
    with running(kind) as engine:
        yield engine, runtime


async def test_an_engine_killed_in_the_middle_of_a_job(
    mortal: tuple[RunningEngine, str],
    home: Path,
    interpreter: Interpreter,
    make_job: MakeJob,
    settles: Settles,
) -> None:
    """The job ends with it, as nobody's fault; and once the engine is back, nothing is left and the next job runs."""
    engine, runtime = mortal
    sandbox = make(engine.engine(runtime), home, interpreter)

    def left_over() -> list[str]:
        return look(home, engine)

    try:
        running = await _stubborn(sandbox, task := make_job("stubborn"))
        engine.kill()
        outcome = await asyncio.wait_for(running, 30)
        assert (outcome.reason, outcome.exit_code) == (Reason.INFRASTRUCTURE, None)
        assert _running(left_over) == []
        await sandbox.release(task.key)
        with pytest.raises(SandboxError) as refused:
            await sandbox.prepare(make_job("ordinary", key="while-away"))
        assert refused.value.code == "sandbox.engine_lost"
        await asyncio.to_thread(engine.start)
        await sandbox.prepare(again := make_job("ordinary", key="again"))
        assert (await sandbox.run(again, lambda stream, data: None)).exit_code == 0
        await sandbox.release("again")
        assert await settles(left_over, 10) == []
    finally:
        await sandbox.close()
