"""A local network as end-to-end tests use it: submit, wait for what happens, hurt it, and look at what is left."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psutil

from hypernode.agent import control
from hypernode.agent.home import Home
from hypernode.agent.status import Status
from hypernode.client import AsyncClient, Client, LocalJob, Retry, python_job
from hypernode.coordinator.local import LocalNetwork
from hypernode.events.model import EventView
from hypernode.jobs.views import AttemptView, JobView, TaskView
from hypernode.ledger.receipt import Receipt, verify

MIB = 1 << 20
WAIT_S = 60.0
SMALL = {"cpu_milli": 500, "memory_bytes": 128 * MIB, "disk_bytes": 16 * MIB}
"""So that several fit on a node of two cores."""
FIRST_NEVER_ENDS = """
import os, time
print("attempt", os.environ["HYPERNODE_ATTEMPT"])
while os.environ["HYPERNODE_ATTEMPT"] == "1":
    time.sleep(60)
"""
"""A job whose first attempt must be lost for it to succeed."""
PATIENT = Retry(attempts=12, max_s=2.0, stream_attempts=20)


def py(code: str, *arguments: str, **fields: Any) -> LocalJob:
    """A small job that runs this code; `fields` as `python_job` takes them."""
    fields = {"cap": "1 HYPER", "timeout_s": 60, **fields}
    fields["resources"] = {**SMALL, **fields.get("resources", {})}
    return python_job(["python", "-c", code, *arguments], **fields)


class Net:
    """A LocalNetwork with a patient client, and hands to hurt it with."""

    def __init__(self, network: LocalNetwork) -> None:
        self.network = network
        self.client = Client(network.url, network.client_key, retry=PATIENT)

    # ── jobs ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def run(self, job: LocalJob, timeout_s: float = WAIT_S) -> JobView:
        """Submit and wait for the end."""
        return self.client.wait(self.client.submit(job).id, timeout_s)

    def task(self, job: JobView | str, index: int = 0) -> TaskView:
        return self.tasks(job)[index]

    def tasks(self, job: JobView | str) -> list[TaskView]:
        return list(self.client.tasks(job if isinstance(job, str) else job.id))

    def attempts(self, job: JobView | str) -> list[AttemptView]:
        """All attempts of a job's only task."""
        (task,) = self.tasks(job)
        return sorted(task.attempts, key=lambda attempt: attempt.epoch)

    def output(self, job: JobView | str, task: int = 0, stream: int = 1) -> str:
        """What a task's latest attempt wrote."""
        events = self.client.logs(job if isinstance(job, str) else job.id, task)
        return b"".join(event.data for event in events if event.stream == stream).decode(errors="replace")

    def until(self, job_id: str, matches: Callable[[EventView], bool], timeout_s: float = WAIT_S) -> EventView:
        """The first event of a job that matches, from its beginning on."""

        async def watch() -> EventView:
            async with (
                asyncio.timeout(timeout_s),
                AsyncClient(self.network.url, self.network.client_key, retry=PATIENT) as client,
                aclosing(client.events(job_id)) as events,
            ):
                async for event in events:
                    if matches(event):
                        return event
            raise AssertionError(f"job {job_id} ended before that")

        return asyncio.run(watch())

    def until_running(self, job_id: str, epoch: int = 1, task: int = 0) -> EventView:
        """The event that an attempt's process runs."""
        return self.until(job_id, lambda e: (e.kind, e.epoch, e.task) == ("task.running", epoch, task))

    def until_said(self, job_id: str, what: str, timeout_s: float = WAIT_S) -> None:
        """Wait until the job's log has this."""

        async def watch() -> None:
            said = b""
            async with (
                asyncio.timeout(timeout_s),
                AsyncClient(self.network.url, self.network.client_key, retry=PATIENT) as client,
                aclosing(client.logs(job_id, follow=True)) as log,
            ):
                async for event in log:
                    said += event.data
                    if what.encode() in said:
                        return
            raise AssertionError(f"job {job_id} never said {what!r}, but {said!r}")

        asyncio.run(watch())

    # ── money and proofs ────────────────────────────────────────────────────────────────────────────────────────────

    def check_ledger(self) -> int:
        """The ledger sums to zero and every balance is the sum of its transfers; gives how many settlements."""
        found = self.network.ledger_summary()
        assert found.total == 0
        assert found.consistent
        return found.settlements

    def check_receipts(self, job: JobView | str, count: int = 1) -> list[Receipt]:
        """A job's receipts: as many as expected, each signed by a node and the coordinator, each with its log whole."""
        job_id = job if isinstance(job, str) else job.id
        receipts = list(self.client.receipts(job_id))
        assert len(receipts) == count
        for receipt in receipts:
            run = receipt.body.run
            verify(receipt, run.node, self.network.coordinator_key)
            name = f"{receipt.body.work.task}.{run.epoch}.log"
            kept = self.network.data / "logs" / str(UUID(job_id)) / name
            log = kept.read_bytes() if kept.exists() else b""
            assert (len(log), hashlib.sha256(log).hexdigest()) == (run.log_bytes, run.log_root)
        return receipts

    def settled_once(self, job: JobView | str, epoch: int = 1) -> None:
        """A job of one task was settled for one attempt and for no other."""
        receipts = self.check_receipts(job)
        assert [receipt.body.run.epoch for receipt in receipts] == [epoch]
        paid = [attempt for attempt in self.attempts(job) if attempt.price or attempt.state == "accepted"]
        assert [attempt.epoch for attempt in paid] == [epoch]
        ended = self.client.job(job if isinstance(job, str) else job.id)
        assert (ended.spent, ended.held) == (receipts[0].decision.split.price, 0)

    def metric(self, name: str, **labels: str) -> float:
        """One sample of /metrics; 0 where there is none."""
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        for line in httpx.get(f"{self.network.url}/metrics", trust_env=False).text.splitlines():
            if line.startswith(name) and all(label in line for label in wanted):
                return float(line.rsplit(" ", 1)[1])
        return 0.0

    # ── nodes ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def home(self, name: str) -> Home:
        return Home(self.network.node_home(name))

    def status(self, name: str) -> Status:
        """What the node says of itself."""
        return control.status(self.home(name))

    def key(self, name: str) -> str:
        return self.home(name).key().public

    def name_of(self, key: str | None) -> str:
        """Which node has this key."""
        (name,) = [name for name in self.network.nodes if self.key(name) == key]
        return name

    def agent_log(self, name: str) -> str:
        return self.home(name).log_file.read_text()

    def add_node(self, name: str, *options: str) -> None:
        """Enrol a node with options of its own and start it."""
        with Client(self.network.url, self.network.operator_key) as operator:
            token = operator.join_token().token
        done = hypernode("node:init", token, "--home", str(self.network.node_home(name)), "--name", name, *options)
        assert done.returncode == 0, done.stderr
        self.network.start_node(name)

    # ── harm and repair ─────────────────────────────────────────────────────────────────────────────────────────────

    def kill_node(self, name: str) -> None:
        process = self.network.nodes[name]
        process.kill()
        process.wait()

    def kill_coordinator(self) -> None:
        process = self.network.coordinator
        assert process is not None
        process.kill()
        process.wait()

    def tree(self, name: str) -> list[psutil.Process]:
        """A node's agent, its launcher, and the sandboxes' processes, parents first."""
        agent = psutil.Process(self.network.nodes[name].pid)
        return [agent, *agent.children(recursive=True)]

    def repair(self) -> None:
        """Start again what a test left dead, so that the next one has a whole network."""
        network = self.network
        if network.coordinator is None or network.coordinator.poll() is not None:
            network.start_coordinator()
        for name, process in list(network.nodes.items()):
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
            else:
                network.start_node(name)

    def end(self) -> None:
        """Stop everything; nothing of it may be left."""
        self.client.close()
        self.network.stop()
        assert settles(lambda: left_over(self.network.folder)) == []


def hypernode(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end."""
    return subprocess.run(
        [sys.executable, "-m", "hypernode", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=120,
        check=False,
        env={**os.environ, **environment},
    )


def until(true: Callable[[], Any], timeout_s: float = WAIT_S) -> Any:
    """Look at something that gives no signal of its own (a process table, a status) until it is so; gives what it
    was. Fails after `timeout_s`."""

    async def look() -> Any:
        async with asyncio.timeout(timeout_s):
            while not (found := true()):
                await asyncio.sleep(0.05)
            return found

    return asyncio.run(look())


def settles(look: Callable[[], list[str]], timeout_s: float = 10.0) -> list[str]:
    """What is left after the kernel had time to tidy up."""
    with suppress(TimeoutError):
        until(lambda: not look(), timeout_s)
    return look()


def left_over(folder: Path) -> list[str]:
    """Everything of the networks below a folder that a look at the machine finds: processes, mounts, loop devices,
    control groups."""
    homes = [path.parent for path in folder.rglob("config.json") if (path.parent / "node.key").exists()]
    found = [f"process {pid} {what}" for pid, what in processes(folder, homes)]
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    found += [f"mount {line}" for line in mounts if str(folder) in line]
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            if str(folder) in backing.read_text():
                found.append(f"device {backing}")
        except OSError:
            continue
    prefixes = tuple(f"hypernode-{_digest(home)[:12]}-" for home in homes)
    for parent, names, _ in os.walk("/sys/fs/cgroup"):
        found += [f"cgroup {parent}/{name}" for name in names if prefixes and name.startswith(prefixes)]
    return found


def job_processes(home: Path) -> list[int]:
    """Processes of the users that jobs of a node get."""
    first = _first_user(home)
    return [process.pid for process, user in _living() if first <= user < first + 256]


def processes(folder: Path, homes: list[Path]) -> Iterator[tuple[int, str]]:
    """Living processes that work for the networks below a folder: by command line, working folder or user."""
    users = [range(first, first + 256) for first in map(_first_user, homes)]
    for process, user in _living():
        try:
            line, place = " ".join(process.cmdline()), process.cwd()
        except (psutil.Error, OSError):
            line, place = "", ""
        if process.pid != os.getpid() and (
            str(folder) in line or place.startswith(str(folder)) or any(user in users_of for users_of in users)
        ):
            yield process.pid, line or "?"


def _living() -> Iterator[tuple[psutil.Process, int]]:
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE:
                yield process, process.uids().real
        except psutil.Error:
            continue


def _digest(home: Path) -> str:
    return hashlib.sha256(os.fsencode((home / "store" / "sandbox").resolve())).hexdigest()


def _first_user(home: Path) -> int:
    return 231_072 + int(_digest(home)[12:20], 16) % 4096 * 256
