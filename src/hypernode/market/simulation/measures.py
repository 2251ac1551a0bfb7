"""What a simulated run is judged by."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import Final
from uuid import UUID

import msgspec

from hypernode.market.fairness import Shares
from hypernode.market.model import Demand
from hypernode.market.simulation.trace import SimNode

SHORTEST_S: Final = 10.0
"""Slowdowns count shorter jobs as if they took so long, lest a second's wait of a job of no time counts for everything
(bounded slowdown: Feitelson et al., "Theory and Practice in Parallel Job Scheduling", 1997)."""


class Spread(msgspec.Struct, frozen=True):
    """Of some quantity over all jobs."""

    mean: float
    p50: float
    p95: float
    p99: float


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """A run in figures. Times in seconds, amounts in µHYPER."""

    policy: str
    jobs: int
    refused: int
    """Jobs that no node of the trace could ever run; they count in nothing else."""
    utilization: float
    """Processor time that tasks held, of that of the nodes that were there, until the last job was submitted."""
    goodput: float
    """Processor time of jobs that had ended with success when the last job was submitted, as it would be on nodes of
    speed 1, of that of the nodes that were there until then."""
    wait: Spread
    """From submission to the first start of the job itself, preparation included."""
    slowdown: Spread
    """From submission to the end, lost attempts included, over what it takes on a node of speed 1; at least 1."""
    jain: float
    """Jain's index of what projects hold over an equal split (max-min by dominant share) of what all of them hold, mean
    over time: 1 where everyone has the same part of what is due to it."""
    shortfall: float
    """The largest share of everything that a project was behind its equal split, 95 of 100 times."""
    spend: int
    interruptions: int
    lost_s: float
    """What lost attempts ran, together."""
    warm: float
    """Share of attempts that found their environment."""
    span_s: float
    """Until the last job ended."""
    submitted_s: float
    """Until the last job was submitted."""
    digest: str
    """Of all assignments in order: equal for equal runs."""


class Measures:
    """Counts along a run."""

    def __init__(self, nodes: Sequence[SimNode], jobs: int, projects: Sequence[UUID]) -> None:
        self._waits = array("d", bytes(8 * jobs))
        self._slowdowns = array("d", bytes(8 * jobs))
        self._started = bytearray(jobs)
        self._held, self._wanted = Shares(), Shares()
        for node in nodes:
            self._held.grow(node.capabilities)
            self._wanted.grow(node.capabilities)
        self._projects = projects
        self._online = self._busy = self._allocated = 0
        self._capacity_s = self._allocated_s = self._useful_s = 0.0
        self._attempts = self._warm = self._interruptions = self._spend = self._refused = 0
        self._lost_s = 0.0
        self._submitting = True
        self._jains: list[float] = []
        self._shortfalls: list[float] = []

    def online(self, cpu_milli: int) -> None:
        """Processors came, or went."""
        self._online += cpu_milli

    def refused(self) -> None:
        """A job can run nowhere."""
        self._refused += 1

    def waits(self, project: UUID, demand: Demand) -> None:
        """A job is submitted, or waits again."""
        self._wanted.hold(project, demand)

    def starts(self, project: UUID, demand: Demand, job: int, wait_s: float, *, warm: bool) -> None:
        """A job was given to a node, where it starts after `wait_s`."""
        self._held.hold(project, demand)
        self._allocated += demand.cpu_milli
        self._attempts += 1
        self._warm += warm
        if not self._started[job]:
            self._started[job] = 1
            self._waits[job] = wait_s

    def ends(self, project: UUID, demand: Demand, job: int, turnaround_s: float, work_s: float, paid: int) -> None:
        """A job has succeeded on a node, for which was paid."""
        self._release(project, demand)
        self._slowdowns[job] = max(1.0, turnaround_s / max(work_s, SHORTEST_S))
        self._spend += paid
        if self._submitting:
            self._useful_s += demand.cpu_milli * work_s

    def lost(self, project: UUID, demand: Demand, ran_s: float) -> None:
        """A task was lost with its node."""
        self._release(project, demand)
        self._interruptions += 1
        self._lost_s += ran_s

    def _release(self, project: UUID, demand: Demand) -> None:
        self._held.hold(project, demand, -1)
        self._wanted.hold(project, demand, -1)
        self._allocated -= demand.cpu_milli

    def passed(self, seconds: float, *, submitting: bool) -> None:
        """Time passes with everything as it is; `submitting`: before the last job was submitted."""
        self._submitting = submitting
        if submitting:
            self._capacity_s += self._online * seconds
            self._allocated_s += self._allocated * seconds

    def sample(self) -> None:
        """Look at how fair it is now, if anyone waits."""
        held = {project: self._held.dominant(project) for project in self._projects}
        wanted = {project: self._wanted.dominant(project) for project in self._projects}
        if all(wanted[project] <= held[project] for project in self._projects):
            return
        due = equal_split(sum(held.values()), wanted)
        parts = [held[project] / due[project] for project in self._projects if due[project]]
        if parts and any(parts):
            self._jains.append(sum(parts) ** 2 / (len(parts) * sum(part * part for part in parts)))
            self._shortfalls.append(max(due[project] - held[project] for project in self._projects))

    def outcome(self, policy: str, now: float, last_at: float, digest: str) -> Outcome:
        """Everything in figures."""
        return Outcome(
            policy=policy,
            jobs=len(self._waits),
            refused=self._refused,
            utilization=_ratio(self._allocated_s, self._capacity_s),
            goodput=_ratio(self._useful_s, self._capacity_s),
            wait=spread(wait for wait, started in zip(self._waits, self._started, strict=True) if started),
            slowdown=spread(slowdown for slowdown in self._slowdowns if slowdown),
            jain=_ratio(sum(self._jains), len(self._jains)) if self._jains else 1.0,
            shortfall=sorted(self._shortfalls)[int(0.95 * len(self._shortfalls))] if self._shortfalls else 0.0,
            spend=self._spend,
            interruptions=self._interruptions,
            lost_s=self._lost_s,
            warm=_ratio(self._warm, self._attempts),
            span_s=now,
            submitted_s=last_at,
            digest=digest,
        )


def equal_split(total: float, wanted: Mapping[UUID, float]) -> dict[UUID, float]:
    """Divide so that nobody gets more than it wants, and nobody could have more without taking from one that has less:
    max-min fairness."""
    due: dict[UUID, float] = {}
    left = total
    for count, (project, most) in enumerate(sorted(wanted.items(), key=lambda item: (item[1], item[0]))):
        due[project] = min(most, left / (len(wanted) - count))
        left -= due[project]
    return due


def spread(values: Iterable[float]) -> Spread:
    """Mean and percentiles by nearest rank."""
    ordered = sorted(values)
    if not ordered:
        return Spread(0.0, 0.0, 0.0, 0.0)
    ranks = (ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in (0.5, 0.95, 0.99))
    return Spread(sum(ordered) / len(ordered), *ranks)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
