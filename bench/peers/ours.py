"""Hypernode as one of the systems: the real coordinator, its database and two nodes, as in the throughput part."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import hypernode
from bench.load import WARM_UP_JOBS, Plan, Pushed, Waited
from bench.measuring import check, cpu_ms, generate
from bench.network import BenchNetwork
from bench.peers.catalogue import OURS, Traits
from bench.peers.contender import Load
from bench.usage import Memory, memory

BATCH: Final = 100
WARM_S: Final = 1.5


class Hypernode:
    """Batches of jobs; one job at a time by `submit` and `wait` of the SDK."""

    name: Final = "Hypernode"
    traits: Final[Traits] = OURS

    def install(self) -> None:
        """It is what runs this."""

    @contextmanager
    def running(self, folder: Path) -> Iterator[RunningHypernode]:
        """Start it; at the end the ledger is compared with the jobs. Raises CheckFailed."""
        with BenchNetwork(folder) as network:
            running = RunningHypernode(network)
            yield running
            check(network, running.jobs)


class RunningHypernode:
    """A network that has started."""

    def __init__(self, network: BenchNetwork) -> None:
        self.version: Final = hypernode.__version__
        self.jobs = 0
        self._network = network

    def load(self, seconds: float) -> Load:
        """Keep a backlog for so long, then drain."""
        self._push(WARM_S)
        pushed = self._push(seconds)
        cpu = cpu_ms(pushed)
        roles = ("coordinator", "database", "nodes", "load")
        return Load(
            tasks=pushed.jobs,
            seconds=pushed.after.at_s - pushed.before.at_s,
            cpu_s=sum(cpu[role] for role in roles) * pushed.jobs / 1000,
            core_cpu_s=(cpu["coordinator"] + cpu["database"]) * pushed.jobs / 1000,
        )

    def _push(self, seconds: float) -> Pushed:
        plan = Plan(kind="batch", batch=BATCH, warm_s=0.0, windows=1, window_s=seconds)
        pushed: Pushed = generate(plan, Pushed, self._network)
        self.jobs += pushed.jobs
        return pushed

    def one_by_one(self, tasks: int) -> list[float]:
        """Timed in the client's process."""
        waited: list[Waited] = generate(Plan(kind="latency-wait", jobs=tasks), list[Waited], self._network)
        self.jobs += tasks + WARM_UP_JOBS
        return [(one.ended_seen - one.began) / 1e6 for one in waited]

    def memory(self) -> Memory:
        """Of coordinator, database and nodes; who submits has ended by now."""
        # The embedded database is a child of the coordinator.
        assert self._network.coordinator is not None
        return memory(self._network.coordinator.pid, *self._network.pids["nodes"])
