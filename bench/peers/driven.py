"""A peer at work: its driver is a process in the peer's own environment, and all else of it descends from that."""

from __future__ import annotations

import asyncio
import ctypes
import os
import platform
import secrets
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

import msgspec
import psutil

from bench.measuring import Say
from bench.peers.catalogue import PeerSpec, Traits
from bench.peers.contender import Load
from bench.peers.environments import python_of
from bench.results import ROOT
from bench.usage import Memory, memory, tree_s
from hypernode.db.embedded import EmbeddedPostgres

START_S: Final = 90.0
ANSWER_S: Final = 75.0
STOP_S: Final = 30.0
KILL_S: Final = 5.0
WARM_TASKS: Final = 400
FEWEST: Final = 500
MOST: Final = 20_000
MARK: Final = "BENCH_MARK"
"""The environment variable by which a peer's processes are found, wherever they end up."""
_PR_SET_PDEATHSIG: Final = 1


class PeerFailed(Exception):
    """A peer did not do what it was asked to do; the message has its own words."""


class Answer(msgspec.Struct, frozen=True):
    """What a driver says, as far as it was asked."""

    version: str = ""
    python: str = ""
    seconds: float = 0.0
    taken_ms: list[float] = []
    error: str = ""


class Peer:
    """A system that its driver runs."""

    def __init__(self, spec: PeerSpec, say: Say) -> None:
        self.name: Final = spec.name
        self.traits: Final[Traits] = spec.traits
        self._spec = spec
        self._say = say
        self._python: Path | None = None

    def install(self) -> None:
        """Make its environment. Raises EnvironmentFailed."""
        self._python = python_of(self._spec, self._say)

    @contextmanager
    def running(self, folder: Path) -> Iterator[DrivenPeer]:
        """Start it. Raises PeerFailed."""
        assert self._python is not None
        with ExitStack() as stack:
            roots = []
            environment = {"BENCH_FOLDER": str(folder)}
            if self._spec.postgres:
                database = stack.enter_context(_postgres(folder / "database"))
                environment["BENCH_DSN"] = database.dsn
                roots.append(database.postmaster_pid)
            log = folder / "driver.log"
            module = f"bench.peers.drivers.{self._spec.module}"
            driver, connection = stack.enter_context(driver_process(self._python, module, environment, log))
            yield DrivenPeer([driver.pid, *roots], connection, log)


class DrivenPeer:
    """A peer that has started."""

    def __init__(self, roots: list[int], connection: Connection, log: Path) -> None:
        self._roots = roots
        self._connection = connection
        self._log = log
        said = self._read(START_S)
        ours = platform.python_version()
        self.version: Final = said.version + (f" on Python {said.python}" if said.python != ours else "")

    def load(self, seconds: float) -> Load:
        """As many tasks as it did in that time while it warmed up."""
        self._ask(many=WARM_TASKS)
        warm = self._ask(many=WARM_TASKS)  # the second, as what a peer does at first need not be its pace
        tasks = tasks_for(seconds, WARM_TASKS / warm.seconds)
        before = self._cpu_s()
        took = self._ask(many=tasks).seconds
        return Load(tasks=tasks, seconds=took, cpu_s=self._cpu_s() - before)

    def one_by_one(self, tasks: int) -> list[float]:
        """Timed by the driver."""
        return self._ask(one=tasks).taken_ms

    def memory(self) -> Memory:
        """Of the driver, who submits, included."""
        return memory(*self._roots)

    def _cpu_s(self) -> float:
        return sum(tree_s(root) for root in self._roots)

    def _ask(self, **what: int) -> Answer:
        with suppress(BrokenPipeError):  # then there may still be an answer that says why
            self._connection.send_bytes(msgspec.json.encode(what))
        return self._read(ANSWER_S)

    def _read(self, wait_s: float) -> Answer:
        try:
            if not self._connection.poll(wait_s):
                raise PeerFailed(f"no answer within {wait_s:.0f} s; its log ends with\n{_tail(self._log)}")
            answer = msgspec.json.decode(self._connection.recv_bytes(), type=Answer)
        except (EOFError, OSError) as error:
            raise PeerFailed(f"its driver ended; its log ends with\n{_tail(self._log)}") from error
        if answer.error:
            raise PeerFailed(answer.error.strip())
        return answer


def tasks_for(seconds: float, per_second: float) -> int:
    """How many tasks keep a system busy for about that long, within bounds."""
    return min(MOST, max(FEWEST, round(seconds * per_second)))


@contextmanager
def _postgres(folder: Path) -> Iterator[EmbeddedPostgres]:
    database = EmbeddedPostgres(folder)
    asyncio.run(database.start())
    try:
        yield database
    finally:
        asyncio.run(database.stop())


@contextmanager
def driver_process(
    python: Path, module: str, environment: Mapping[str, str], log: Path
) -> Iterator[tuple[subprocess.Popen[bytes], Connection]]:
    """Run a driver; at the end it stops its peer in order, and whatever is left of that then is killed."""
    mark = secrets.token_hex(16)
    ours, theirs = Pipe()
    with ours, log.open("ab") as output:
        with theirs:
            process = subprocess.Popen(
                [str(python), "-m", "bench.peers.drivers", module, str(theirs.fileno())],
                cwd=ROOT,
                env={**os.environ, **environment, MARK: mark},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,  # Ctrl-C is for the bench, which then ends this in order
                preexec_fn=_die_with_parent,
            )
        try:
            yield process, ours
        finally:
            ours.close()
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_S)
            _kill(mark)
            process.wait()


def _kill(mark: str) -> None:
    """End what is left of a peer: whatever has its mark in its environment. Returns when it has ended."""
    left = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(MARK) == mark:
                process.kill()
                left.append(process)
    until = time.monotonic() + KILL_S
    while any(_is_alive(process) for process in left) and time.monotonic() < until:
        time.sleep(0.01)  # they are nobody's children here, so there is nothing to wait for


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-15:])


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
