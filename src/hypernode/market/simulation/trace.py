"""Traces: nodes that come and go, and jobs that arrive. Read from a file, or made up from a seed."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from hypernode.kernel.limits import GIB
from hypernode.market.model import Demand
from hypernode.nodes.model import Ask, Capabilities, GpuInfo, SandboxOffer


class SimNode(msgspec.Struct, frozen=True, kw_only=True):
    """A node of a trace."""

    name: str
    cpu_milli: int
    memory_bytes: int
    gpus: tuple[int, ...] = ()
    """Memory of each, in bytes."""
    rate_per_second: int
    fixed: int = 0
    speed: float = 1.0
    """A task that takes `work_s` takes `work_s / speed` here."""
    mean_up_s: float = math.inf
    """How long it stays, on average, before it is gone with all it holds: exponentially distributed."""
    mean_down_s: float = 600.0
    past_losses: int = 0
    past_held_s: float = 0.0
    """What is on record of it before the trace begins: tasks it lost, in how long of holding any."""

    @property
    def capabilities(self) -> Capabilities:
        """As the node would offer them."""
        return Capabilities(
            cpu_milli=self.cpu_milli,
            memory_bytes=self.memory_bytes,
            disk_bytes=1000 * GIB,
            gpus=tuple(GpuInfo("simulated", vram) for vram in self.gpus),
            slots=max(1, self.cpu_milli // 1000),
            sandboxes=(SandboxOffer(name="simulated", isolation=2, runtimes=("python",)),),
        )

    @property
    def ask(self) -> Ask:
        """What it wants."""
        return Ask(self.rate_per_second, self.fixed)


class SimJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job of a trace: one task."""

    at: float
    """When it is submitted, in seconds."""
    project: int
    cpu_milli: int
    memory_bytes: int
    work_s: float
    """How long it takes on a node of speed 1."""
    timeout_s: int
    cap: int
    gpus: int = 0
    vram_bytes: int = 0
    priority: int = 0
    environment: str = ""
    """What a node must build before it can run, unless it has it."""

    @property
    def demand(self) -> Demand:
        """As matching sees it."""
        return Demand(
            "python", 2, self.cpu_milli, self.memory_bytes, GIB, self.gpus, self.vram_bytes, self.timeout_s, self.cap
        )


def read_nodes(lines: Iterable[str | bytes]) -> list[SimNode]:
    """Nodes, one JSON object a line. Raises msgspec.ValidationError."""
    return [msgspec.json.decode(line, type=SimNode) for line in lines if line.strip()]


def read_jobs(lines: Iterable[str | bytes]) -> Iterator[SimJob]:
    """Jobs, one JSON object a line, in the order of their times. Raises msgspec.ValidationError."""
    return (msgspec.json.decode(line, type=SimJob) for line in lines if line.strip())


class _Kind(msgspec.Struct, frozen=True):
    share: float
    cores: int
    gib: int
    gpus: tuple[int, ...]
    rate: int
    mean_up_s: float


_KINDS: Final = (
    _Kind(0.40, 4, 16, (), 60, 8 * 3600.0),
    _Kind(0.30, 8, 32, (), 90, 24 * 3600.0),
    _Kind(0.17, 32, 128, (), 180, 14 * 24 * 3600.0),
    _Kind(0.05, 64, 256, (), 260, 30 * 24 * 3600.0),
    _Kind(0.06, 16, 64, (24,), 400, 24 * 3600.0),
    _Kind(0.02, 64, 512, (80, 80, 80, 80), 1600, 30 * 24 * 3600.0),
)
"""Machines at home, desktops, servers, large servers, machines with one GPU, and with four."""


_HISTORY_S: Final = 7 * 24 * 3600.0


def synthetic_nodes(seed: int, count: int) -> list[SimNode]:
    """Nodes of six kinds: asks and speeds are log-normally distributed about those of the kind (a tenth of the variance
    of the ask is explained by speed: the market is not perfect), machines at home come and go.
    Each has a week of holding tasks on record, in which it was lost about as often as it will be."""
    chance = random.Random(f"nodes {seed}")
    nodes = []
    for number in range(count):
        kind = chance.choices(_KINDS, [kind.share for kind in _KINDS])[0]
        speed = min(2.0, max(0.5, chance.lognormvariate(0.0, 0.25)))
        rate = kind.rate * speed**0.5 * chance.lognormvariate(0.0, 0.35)
        nodes.append(
            SimNode(
                name=f"node-{number:05}",
                cpu_milli=kind.cores * 1000,
                memory_bytes=kind.gib * GIB,
                gpus=tuple(vram * GIB for vram in kind.gpus),
                rate_per_second=max(1, round(rate)),
                speed=round(speed, 3),
                mean_up_s=kind.mean_up_s,
                past_losses=sum(chance.random() < _HISTORY_S / kind.mean_up_s / 1000 for _ in range(1000)),
                past_held_s=_HISTORY_S,
            )
        )
    return nodes


class _Size(msgspec.Struct, frozen=True):
    cores: int
    gib: int
    gpus: int = 0
    vram_gib: int = 0


_SIZES: Final = {
    "tiny": _Size(1, 1),
    "small": _Size(1, 4),
    "medium": _Size(4, 8),
    "large": _Size(16, 48),
    "whole": _Size(32, 120),
    "gpu": _Size(4, 16, 1, 16),
    "gpus": _Size(32, 256, 4, 80),
}
_MIXES: Final = (
    ({"tiny": 0.7, "small": 0.3}, 60.0, 1.2),
    ({"small": 0.6, "medium": 0.4}, 240.0, 1.4),
    ({"small": 0.5, "medium": 0.35, "large": 0.15}, 400.0, 1.5),
    ({"medium": 0.8, "large": 0.15, "whole": 0.05}, 600.0, 1.3),
    ({"small": 0.65, "medium": 0.32, "gpu": 0.03}, 300.0, 1.3),
    ({"medium": 0.85, "gpu": 0.14, "gpus": 0.01}, 900.0, 1.0),
)
"""What projects submit: sizes, median and sigma of the log-normal duration. Sigmas above 1 make heavy tails. GPUs are
about as scarce as processors then."""
_TIMEOUTS_S: Final = (300, 1800, 7200, 28800, 86400)
_LONGEST_S: Final = 8 * 3600.0
_CEILINGS: Final = (300, 2500, 10000)
"""What a project pays per second at most: some exclude most GPUs and large servers by their caps."""


class _Project(msgspec.Struct, frozen=True):
    number: int
    weight: float
    sizes: dict[str, float]
    median_s: float
    sigma: float
    ceiling: int
    burst: float
    environments: int


def _projects(chance: random.Random, count: int) -> list[_Project]:
    projects = []
    for number in range(count):
        sizes, median_s, sigma = _MIXES[number % len(_MIXES)]
        gpu = any(_SIZES[name].gpus for name in sizes)
        projects.append(
            _Project(
                number=number,
                weight=1.0 / (1 + chance.randrange(count)),  # Zipf: few projects submit most
                sizes=sizes,
                median_s=median_s * chance.lognormvariate(0.0, 0.3),
                sigma=sigma,
                ceiling=_CEILINGS[-1] if gpu else chance.choice(_CEILINGS),
                burst=chance.choice((0.0, 0.5, 0.9)),
                environments=chance.randint(1, 6),
            )
        )
    return projects


def synthetic_jobs(seed: int, count: int, nodes: Sequence[SimNode], *, load: float, projects: int = 40) -> list[SimJob]:
    """Jobs in the order of their times: projects of very different sizes, of which some submit hundreds to thousands
    of jobs at once, with heavy-tailed durations. Times are stretched so that processors, or GPUs if those are scarcer,
    are asked for `load` times what there is."""
    chance = random.Random(f"jobs {seed}")
    known = _projects(chance, projects)
    jobs: list[SimJob] = []
    while len(jobs) < count:
        project = chance.choices(known, [one.weight for one in known])[0]
        together = 1
        if chance.random() < project.burst / 100:
            together = min(count - len(jobs), int(chance.paretovariate(1.1) * 100), 20_000)
        at = chance.random()
        jobs += itertools.islice(_make(chance, project, at), together)
    span_s = _span_s(jobs, nodes, load)
    jobs = [msgspec.structs.replace(job, at=job.at * span_s) for job in jobs]
    jobs.sort(key=lambda job: job.at)
    return jobs


def _make(chance: random.Random, project: _Project, at: float) -> Iterator[SimJob]:
    names, weights = list(project.sizes), list(project.sizes.values())
    environment = f"{project.number}.{chance.randrange(project.environments)}"
    while True:
        size = _SIZES[chance.choices(names, weights)[0]]
        work_s = min(_LONGEST_S, chance.lognormvariate(math.log(project.median_s), project.sigma))
        # People choose round timeouts, with room; half the speed of 1 is the slowest there is.
        timeout_s = next(limit for limit in _TIMEOUTS_S if limit >= 2 * work_s + 30)
        ceiling = max(project.ceiling, 5000) if size.gpus else project.ceiling
        yield SimJob(
            at=at,
            project=project.number,
            cpu_milli=size.cores * 1000,
            memory_bytes=size.gib * GIB,
            gpus=size.gpus,
            vram_bytes=size.vram_gib * GIB,
            work_s=round(work_s, 1),
            timeout_s=timeout_s,
            cap=ceiling * timeout_s,
            environment=environment,
        )


def _span_s(jobs: Sequence[SimJob], nodes: Sequence[SimNode], load: float) -> float:
    cores = sum(node.cpu_milli * node.speed for node in nodes)
    gpus = sum(len(node.gpus) * node.speed for node in nodes)
    cpu_s = sum(job.cpu_milli * job.work_s for job in jobs)
    gpu_s = sum(job.gpus * job.work_s for job in jobs)
    return max(cpu_s / cores, gpu_s / gpus if gpus else 0.0, 1.0) / load
