"""Runs a trace under a policy, deterministically: the same trace, policy and seed give the same assignments."""

from __future__ import annotations

import hashlib
import heapq
import math
import random
from collections.abc import Sequence
from typing import Final
from uuid import UUID

import msgspec

from hypernode.ledger.model import price
from hypernode.market.eligibility import exclusion
from hypernode.market.fairness import Backlog, rank_of
from hypernode.market.matching import Matcher
from hypernode.market.model import Demand, Ready
from hypernode.market.offers import Holding, Offer, Standing, idle_offer
from hypernode.market.pool import Pool
from hypernode.market.simulation.measures import Measures, Outcome
from hypernode.market.simulation.policies import Policy
from hypernode.market.simulation.trace import SimJob, SimNode
from hypernode.market.standing import loss_rate

TICK_S: Final = 1.0
"""Decisions are made once a simulated second, as often as the coordinator looks for itself."""
COLD_S: Final = 30.0
WARM_S: Final = 1.0
"""Preparing a task on a node without and with its environment."""
ENVIRONMENTS: Final = 8
"""Environments a node keeps."""
SAMPLE_S: Final = 30.0
_ALL: Final = UUID(int=0)


class _Node:
    """A node of the trace, as it is now."""

    __slots__ = ("environments", "held_s", "losses", "offer", "runs", "sim", "up_since")

    def __init__(self, sim: SimNode) -> None:
        self.sim = sim
        self.offer: Offer | None = None
        self.runs: dict[Holding, _Run] = {}
        self.environments: dict[str, None] = {}
        self.losses = sim.past_losses
        self.held_s = sim.past_held_s
        self.up_since = 0.0


class _Run(msgspec.Struct, eq=False):
    """A task that a node holds."""

    job: int
    node: _Node
    holding: Holding
    leased: float
    began: float
    lost: bool = False


class Simulation:
    """One run."""

    def __init__(self, nodes: Sequence[SimNode], jobs: Sequence[SimJob], policy: Policy, seed: int = 0) -> None:
        self._policy = policy
        self._jobs = jobs
        self._chance = random.Random(f"lives {seed}")
        self._pool = Pool(seed, policy.rule)
        self._matcher = Matcher(self._pool, seed, reserving=policy.reserving)
        self._backlog = Backlog()
        self._nodes = [_Node(node) for node in nodes]
        self._by_name = {node.name: known for node, known in zip(nodes, self._nodes, strict=True)}
        self._demands: dict[Demand, tuple[Demand, int] | None] = {}
        self._ends: list[tuple[float, int, _Run]] = []
        self._lives: list[tuple[float, int, bool]] = []
        self._sequence = 0
        self._projects = [UUID(int=number + 1) for number in range(max((job.project for job in jobs), default=0) + 1)]
        self._digest = hashlib.blake2b(digest_size=16)
        self._measures = Measures(nodes, len(jobs), self._projects)
        self._unfinished = len(jobs)

    def run(self) -> Outcome:
        """To the end of the last job."""
        for index, node in enumerate(self._nodes):
            self._come(node, 0.0)
            if node.sim.mean_up_s < math.inf:
                heapq.heappush(self._lives, (self._chance.expovariate(1 / node.sim.mean_up_s), index, False))
        arrived, last_at = 0, self._jobs[-1].at if self._jobs else 0.0
        now, next_sample = 0.0, 0.0
        while self._unfinished:
            changed = self._end_until(now) + self._live_until(now)
            while arrived < len(self._jobs) and self._jobs[arrived].at <= now:
                self._queue(arrived)
                arrived += 1
                changed += 1
            if changed:
                self._decide(now)
            if next_sample <= now <= last_at:
                self._measures.sample()
                next_sample += SAMPLE_S
            self._measures.passed(TICK_S, submitting=now <= last_at)
            now += TICK_S
            if not self._backlog.by_id:  # nothing waits: nothing can be decided before something happens
                upcoming = [queue[0][0] for queue in (self._ends, self._lives) if queue]
                upcoming += [self._jobs[arrived].at] if arrived < len(self._jobs) else []
                skipped_s = max(0.0, math.floor((min(upcoming, default=now) - now) / TICK_S) * TICK_S)
                self._measures.passed(skipped_s, submitting=now <= last_at)
                now += skipped_s
        return self._measures.outcome(self._policy.name, now, last_at, self._digest.hexdigest())

    # ── what happens ────────────────────────────────────────────────────────────────────────────────────────────────

    def _queue(self, index: int, *, retried: bool = False) -> None:
        job = self._jobs[index]
        known = self._known(job.demand)
        if known is None:
            self._unfinished -= 1
            self._measures.refused()
            return
        demand, shape = known
        project = self._projects[job.project]
        self._measures.waits(project, demand)
        if self._policy.fair:
            rank = rank_of(job.at, job.priority, job.timeout_s, retried=retried)
        else:
            project, rank = _ALL, job.at
        needs = (job.environment,) if job.environment else ()
        self._backlog.add(Ready(index, project, 0, 1, demand, shape, project, rank, needs))

    def _known(self, demand: Demand) -> tuple[Demand, int] | None:
        """A demand with its shape; None if no node of the trace could ever run it."""
        if demand not in self._demands:
            able = any(exclusion(demand, node.sim.capabilities, node.sim.ask) is None for node in self._nodes)
            self._demands[demand] = (demand, demand.shape) if able else None
        return self._demands[demand]

    def _decide(self, now: float) -> None:
        for given in self._matcher.decide(self._backlog, now, set()):
            index, offer, holding = given.assignment.ready.queue_id, given.offer, given.holding
            job, node = self._jobs[index], self._by_name[offer.node]
            warm = not job.environment or job.environment in node.environments
            began = now + (WARM_S if warm else COLD_S)
            if job.environment:
                node.environments.pop(job.environment, None)
                node.environments[job.environment] = None
                if len(node.environments) > ENVIRONMENTS:
                    del node.environments[next(iter(node.environments))]
            run = node.runs[holding] = _Run(index, node, holding, now, began)
            self._sequence += 1
            heapq.heappush(self._ends, (began + job.work_s / node.sim.speed, self._sequence, run))
            self._digest.update(b"%d %d %d;" % (index, offer.number, now))
            self._measures.starts(self._projects[job.project], holding.demand, index, began - job.at, warm=warm)

    def _end_until(self, now: float) -> int:
        count = 0
        while self._ends and self._ends[0][0] <= now:
            at, _, run = heapq.heappop(self._ends)
            count += 1
            if run.lost:
                continue
            node, job = run.node, self._jobs[run.job]
            assert node.offer is not None
            del node.runs[run.holding]
            node.held_s += at - run.leased
            self._pool.give_back(node.offer, run.holding)
            ran_s = at - run.began
            paid = price(node.sim.ask, round(ran_s * 1000), job.cap)
            self._unfinished -= 1
            self._measures.ends(self._projects[job.project], run.holding.demand, run.job, at - job.at, job.work_s, paid)
        return count

    def _live_until(self, now: float) -> int:
        count = 0
        while self._lives and self._lives[0][0] <= now:
            at, index, comes = heapq.heappop(self._lives)
            node = self._nodes[index]
            mean_s = node.sim.mean_up_s if comes else node.sim.mean_down_s
            heapq.heappush(self._lives, (at + self._chance.expovariate(1 / mean_s), index, not comes))
            count += 1
            if comes:
                self._come(node, at)
            else:
                self._go(node, at)
        return count

    def _come(self, node: _Node, at: float) -> None:
        rate = loss_rate(node.losses, node.held_s)
        standing = Standing(speed=node.sim.speed if self._policy.measured else 1.0, losses_per_s=rate)
        node.offer = idle_offer(node.sim.name, node.sim.capabilities, node.sim.ask, standing)
        self._pool.put(node.offer)
        self._measures.online(node.sim.cpu_milli)

    def _go(self, node: _Node, at: float) -> None:
        """A node is gone, and what it held is lost and waits again."""
        self._pool.remove(node.sim.name)
        node.offer = None
        node.environments.clear()
        self._measures.online(-node.sim.cpu_milli)
        for run in node.runs.values():
            run.lost = True
            node.losses += 1
            node.held_s += at - run.leased
            job = self._jobs[run.job]
            self._measures.lost(self._projects[job.project], run.holding.demand, max(0.0, at - run.began))
            self._queue(run.job, retried=True)
        node.runs.clear()
