"""A local network for measuring: the real coordinator and embedded PostgreSQL, with nodes of the bench's own."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from urllib.parse import quote

import psutil

from hypernode.agent.enrol import enrol
from hypernode.agent.home import Home
from hypernode.agent.process import Ready as NodeReady
from hypernode.client import Client
from hypernode.coordinator import local
from hypernode.coordinator.local import LocalNetwork
from hypernode.coordinator.process import Ready
from hypernode.db.embedded import DATABASE
from hypernode.nodes.model import Ask

ASK: Final = Ask(rate_per_second=100, fixed=1000)
"""With a fixed part, so that a no-op attempt costs something and every settlement pays operator and fees."""
SLOTS: Final = 256


class BenchNetwork(LocalNetwork):
    """A local network whose nodes run no-op jobs; their starts are stamped into `stamps`. With `profile` the
    coordinator is sampled and writes that file when it stops."""

    def __init__(
        self, folder: Path, *, nodes: int = 2, slots: int = SLOTS, stamp: bool = False, profile: Path | None = None
    ) -> None:
        super().__init__(folder, nodes=nodes)
        self.stamps: Final = self.folder / "stamps" if stamp else None
        self._slots = slots
        self._profile = profile

    def start_coordinator(self) -> None:
        """Start the coordinator, sampled if it is to be."""
        if self._profile is None:
            super().start_coordinator()
            return
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        log = self.folder / "coordinator.log"
        command = [sys.executable, "-m", "bench.profiled_coordinator", str(self._profile)]
        self.coordinator, line = local._start([*command, "--data", str(self.data), "--plain"], log)
        ready = local._decode(line, Ready, self.coordinator, log)
        self.url, self.coordinator_key, self.postmaster_pid = ready.url, ready.coordinator_key, ready.postmaster_pid
        self.coordinator.send_signal(signal.SIGUSR1)

    def start_node(self, name: str) -> None:
        """Enrol and start a no-op node, and wait until it is connected."""
        home = Home(self.node_home(name))
        with Client(self.url, self.operator_key) as operator:
            token = operator.join_token().token
        asyncio.run(enrol(home, token, name=name, ask=ASK))
        # No job runs, so no interpreter is needed: one copy is shared instead of one a node.
        (self.folder / "python").mkdir(exist_ok=True)
        (home.store / "python").symlink_to(self.folder / "python")
        log = self.folder / f"{name}.log"
        command = [sys.executable, "-m", "bench.noop_agent", "--home", str(home.path), "--slots", str(self._slots)]
        command += ["--stamps", str(self.stamps)] if self.stamps else []
        process, line = local._start(command, log)
        self.nodes[name] = process
        local._decode(line, NodeReady, process, log)

    def stop(self) -> None:
        """End everything in order, and make sure of the database."""
        super().stop()
        if self.postmaster_pid is None or not psutil.pid_exists(self.postmaster_pid):
            return
        postmaster = psutil.Process(self.postmaster_pid)
        if str(self.folder) in " ".join(postmaster.cmdline()):
            postmaster.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown
            postmaster.wait(local.STOP_S)

    @property
    def dsn(self) -> str:
        """The embedded database, for looking at it from outside."""
        folder = (self.data / "database" / "pgdata" / "postmaster.pid").read_text().splitlines()[4]
        return f"postgresql://postgres@/{DATABASE}?host={quote(folder, safe='/')}"

    @property
    def pids(self) -> dict[str, list[int]]:
        """The processes by role; the database's is its postmaster, whose children belong to it."""
        assert self.coordinator is not None
        assert self.postmaster_pid is not None
        return {
            "coordinator": [self.coordinator.pid],
            "database": [self.postmaster_pid],
            "nodes": [process.pid for process in self.nodes.values()],
        }


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder that is gone afterwards."""
    with TemporaryDirectory(prefix="hypernode-bench-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)
