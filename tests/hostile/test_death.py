"""What is left when parts of the node are killed: nothing runs on, and what stays the next start removes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hypernode.agent.interpreter import Interpreter
from hypernode.agent.sandboxes.base import Reason, SandboxError, Task
from hypernode.agent.sandboxes.bubblewrap import BubblewrapSandbox

MakeJob = Callable[..., Task]
LeftOver = Callable[[], list[str]]
Settles = Callable[[LeftOver], Any]

AGENT = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import conftest_for_agent as c
from hypernode.agent import interpreter
from hypernode.agent.sandboxes.bubblewrap import BubblewrapSandbox

async def main():
    python = interpreter.prepare(Path({store!r}))
    sandbox = BubblewrapSandbox(Path({home!r}), python)
    await asyncio.gather(*(one(sandbox, python, n) for n in range(3)))

async def one(sandbox, python, number):
    task = c.job(python, "stubborn", key=f"job-{{number}}")
    await sandbox.prepare(task)
    await sandbox.run(task, lambda stream, data: print("launcher", sandbox.launcher_pid, flush=True))

asyncio.run(main())
"""


def _running(look: LeftOver) -> list[str]:
    return [line for line in look() if line.startswith("process")]


async def _until_none_run(look: LeftOver, seconds: float = 3.0) -> None:
    for _ in range(int(seconds / 0.02)):
        if not _running(look):
            return
        await asyncio.sleep(0.02)
    pytest.fail(f"still running: {_running(look)}")


class Agent:
    """An agent in a process of its own, with three jobs that never end by themselves."""

    def __init__(self, home: Path, interpreter: Interpreter, tmp_path: Path) -> None:
        here = Path(__file__).parent
        (tmp_path / "conftest_for_agent.py").write_text(
            (here / "conftest.py")
            .read_text()
            .replace('Path(__file__).parent / "jobs"', f"Path({str(here / 'jobs')!r})")
        )
        store = interpreter.mounts[0].source.parent.parent if interpreter.mounts else tmp_path
        script = AGENT.format(tests=str(tmp_path), store=str(store), home=str(home))
        self.process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)

    def wait_until_all_run(self) -> int:
        """The launcher's process id, once every job has spoken."""
        assert self.process.stdout is not None
        said = [self.process.stdout.readline().split() for _ in range(3)]
        return int(said[0][1])


@pytest.fixture
def agent(home: Path, interpreter: Interpreter, tmp_path: Path) -> Any:
    agent = Agent(home, interpreter, tmp_path)
    yield agent
    agent.process.kill()
    agent.process.wait()
    assert agent.process.stdout is not None
    agent.process.stdout.close()


async def test_a_killed_agent_leaves_nothing(agent: Agent, left_over: LeftOver, settles: Settles) -> None:
    await asyncio.to_thread(agent.wait_until_all_run)
    assert len(_running(left_over)) >= 9
    agent.process.send_signal(signal.SIGKILL)
    await _until_none_run(left_over)
    assert await settles(left_over) == []


async def test_agent_and_launcher_killed_together_leave_what_the_next_start_reaps(
    agent: Agent, home: Path, interpreter: Interpreter, left_over: LeftOver, settles: Settles
) -> None:
    launcher = await asyncio.to_thread(agent.wait_until_all_run)
    (home / "volumes" / "volume-half-made.ext4").write_bytes(b"x")
    os.kill(launcher, signal.SIGSTOP)  # so that it cannot tidy up when its agent goes
    agent.process.send_signal(signal.SIGKILL)
    os.kill(launcher, signal.SIGKILL)
    await _until_none_run(left_over)
    left = await _only(left_over, {"cgroup", "file"})
    assert any(line.startswith("cgroup") for line in left), "nothing to reap: the test proves nothing"
    other = _foreign_cgroup()
    try:
        sandbox = BubblewrapSandbox(home, interpreter)
        await sandbox.reap()
        await sandbox.close()
        assert await settles(left_over) == []
        assert other.is_dir(), "reap touched what belongs to another node"
    finally:
        other.rmdir()


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


async def test_a_killed_launcher_ends_the_run_and_the_next_task_gets_a_new_one(
    sandbox: BubblewrapSandbox, make_job: MakeJob, left_over: LeftOver, settles: Settles
) -> None:
    task = make_job("stubborn")
    await sandbox.prepare(task)
    spoke = asyncio.Event()
    running = asyncio.create_task(sandbox.run(task, lambda stream, data: spoke.set()))
    await spoke.wait()
    assert sandbox.launcher_pid is not None
    os.kill(sandbox.launcher_pid, signal.SIGKILL)
    outcome = await asyncio.wait_for(running, 5)
    assert outcome.reason is Reason.INFRASTRUCTURE
    await _until_none_run(left_over)
    await sandbox.release(task.key)
    await sandbox.reap()
    assert await settles(left_over) == []
    await sandbox.prepare(again := make_job("ordinary", key="again"))
    assert (await sandbox.run(again, lambda stream, data: None)).exit_code == 0
    await sandbox.release("again")


async def test_cancelling_a_run_kills_the_program(
    sandbox: BubblewrapSandbox, make_job: MakeJob, left_over: LeftOver, settles: Settles
) -> None:
    task = make_job("stubborn")
    await sandbox.prepare(task)
    spoke = asyncio.Event()
    running = asyncio.create_task(sandbox.run(task, lambda stream, data: spoke.set()))
    await spoke.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert _running(left_over) == []
    await sandbox.release(task.key)
    assert await settles(left_over) == []


async def test_kill_says_why(sandbox: BubblewrapSandbox, make_job: MakeJob) -> None:
    task = make_job("stubborn")
    await sandbox.prepare(task)
    spoke = asyncio.Event()
    running = asyncio.create_task(sandbox.run(task, lambda stream, data: spoke.set()))
    await spoke.wait()
    await sandbox.kill(task.key, Reason.CANCELLED)
    await sandbox.kill("no such task", Reason.CANCELLED)
    outcome = await asyncio.wait_for(running, 5)
    assert (outcome.reason, outcome.exit_code) == (Reason.CANCELLED, None)
    await sandbox.release(task.key)
    await sandbox.release(task.key)


async def test_two_agents_cannot_share_a_home(
    sandbox: BubblewrapSandbox, home: Path, interpreter: Interpreter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hypernode.agent.sandboxes.client.LOCK_S", 0.3)
    await sandbox.reap()
    second = BubblewrapSandbox(home, interpreter)
    with pytest.raises(SandboxError) as refused:
        await second.reap()
    assert refused.value.code == "sandbox.in_use"
