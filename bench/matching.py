"""Matching tried out on traces, beside simpler rules over the same index and eligibility.

`python -m bench.matching --nodes FILE --jobs FILE` replays a recorded trace: one JSON object a line, as
`hypernode.market.simulation.trace.SimNode` and `SimJob` say.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import msgspec

from bench.results import Aim, Figure, Report, Table, aim, aim_least, figure
from hypernode.market.simulation.engine import Simulation
from hypernode.market.simulation.measures import Outcome
from hypernode.market.simulation.policies import POLICIES, Policy
from hypernode.market.simulation.trace import SimJob, SimNode, read_jobs, read_nodes, synthetic_jobs, synthetic_nodes

Say = Callable[[str], None]
OURS: Final = POLICIES[0].name
BASELINES: Final = ("fifo", "random", "best-fit")
PROCESSES: Final = 2
LARGE_RUN_S: Final = 600.0


class Spec(msgspec.Struct, frozen=True):
    """A synthetic trace: the same spec makes the same trace."""

    nodes: int
    jobs: int
    load: float
    seed: int

    def __str__(self) -> str:
        return f"{self.nodes:,} nodes, {self.jobs:,} jobs, load {self.load:g}, seed {self.seed}"


class Run(msgspec.Struct, frozen=True):
    """One policy on one trace."""

    spec: Spec
    outcome: Outcome
    cpu_s: float


@functools.lru_cache(maxsize=1)
def _trace(spec: Spec) -> tuple[list[SimNode], list[SimJob]]:
    nodes = synthetic_nodes(spec.seed, spec.nodes)
    return nodes, synthetic_jobs(spec.seed, spec.jobs, nodes, load=spec.load)


def _run(spec: Spec, policy: str) -> Run:
    nodes, jobs = _trace(spec)
    began = time.process_time()
    chosen = next(one for one in POLICIES if one.name == policy)
    outcome = Simulation(nodes, jobs, chosen, spec.seed).run()
    return Run(spec, outcome, time.process_time() - began)


def measure(quick: bool, say: Say) -> Report:
    """The large trace, and small ones at several loads for the spread."""
    large = Spec(500, 20_000, 1.1, 1) if quick else Spec(10_000, 1_000_000, 1.1, 1)
    seeds, size = ((1, 2), (100, 5_000)) if quick else (range(1, 6), (300, 20_000))
    small = [Spec(*size, load, seed) for load in (0.7, 1.0, 1.3) for seed in seeds]
    # The large one once more would take as long as a baseline does, and go through the same code.
    twice = large if quick else Spec(2_000, 200_000, 1.1, 1)
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
        say(f"{large}, {len(POLICIES)} policies in {PROCESSES} processes")
        runs = list(pool.map(_run, *zip(*((large, policy.name) for policy in POLICIES), strict=True)))
        say(f"{len(small)} smaller traces")
        wanted = [(spec, policy.name) for spec in small for policy in POLICIES]
        others = list(pool.map(_run, *zip(*wanted, strict=True), chunksize=len(POLICIES)))
        say(f"{twice}, twice, for its digest")
        digests = {run.outcome.digest for run in pool.map(_run, [twice, twice], [OURS, OURS])}
    ours = runs[0]
    compared = [figure_ for name in BASELINES for figure_ in _against(name, runs, others)]
    one_run = figure("CPU of one run of the large trace", "s", ours.cpu_s, [])
    if len(digests) > 1:
        raise RuntimeError("the same trace under the same policy gave two different runs")
    return Report(
        title="Matching, simulated",
        method="The coordinator's own decision code on synthetic traces: projects of very different sizes, of which "
        "some submit up to thousands of jobs at once, log-normal durations with heavy tails, sizes from one core to a "
        "whole machine and four GPUs; nodes of six kinds that differ in price and speed, of which those at home come "
        "and go. "
        "Decisions are made once a simulated second; preparing takes 30 s without and 1 s with the environment; tasks "
        "of a node that goes are lost, unpaid, and tried again. All policies share eligibility and let smaller work "
        "pass what finds no room; they differ in who is next and where. Ratios: this matching over the baseline in "
        "the large trace (below 1: less), with the spread over the smaller traces. Utilization is the processor time "
        "that tasks hold until the last job is submitted, on slow nodes for longer; goodput counts the work that has "
        "ended by then, as it would take on nodes of speed 1. A load of 1 asks for all "
        "processors (or GPUs, where those are scarcer) all the time. What is measured, and the policies, are defined "
        "in `hypernode.market.simulation`.",
        parameters={
            "large": str(large),
            "small": [str(spec) for spec in small],
            "processes": PROCESSES,
            "policies": {policy.name: policy.about for policy in POLICIES},
        },
        figures=[
            *compared,
            one_run,
            figure("CPU per job, decisions and simulation", "µs", ours.cpu_s * 1e6 / large.jobs, []),
            figure(f"CPU of all {len(POLICIES)} policies on the large trace", "s", sum(run.cpu_s for run in runs), []),
        ],
        aims=[] if quick else [*_aims(compared), aim("one run of the large trace", one_run, LARGE_RUN_S)],
        checks={"jobs": large.jobs, "nodes": large.nodes, f"equal digests of two runs of {twice}": True},
        tables=[
            _table(f"The large trace: {large}", [run.outcome for run in runs]),
            *(
                _table(
                    f"Medians of {len(seeds)} smaller traces, load {load:g}",
                    [_median([_of(others, s, policy.name) for s in small if s.load == load]) for policy in POLICIES],
                )
                for load in (0.7, 1.0, 1.3)
            ),
        ],
    )


_MEASURES: Final[tuple[tuple[str, Callable[[Outcome], float]], ...]] = (
    ("wait, mean", lambda one: one.wait.mean),
    ("wait, p95", lambda one: one.wait.p95),
    ("wait, p99", lambda one: one.wait.p99),
    ("slowdown, mean", lambda one: one.slowdown.mean),
    ("spend", lambda one: float(one.spend)),
    ("utilization", lambda one: one.utilization),
    ("goodput", lambda one: one.goodput),
)


def _aims(compared: Sequence[Figure]) -> list[Aim]:
    """On the large trace, to wait and spend no more than any baseline does, and to use no less."""
    return [
        (aim_least if one.name.startswith("utilization") else aim)(one.name, one, 1.0)
        for one in compared
        if one.name.startswith(("wait, mean", "spend", "utilization"))
    ]


def _against(name: str, runs: Sequence[Run], others: Sequence[Run]) -> list[Figure]:
    found = []
    for measure_name, of in _MEASURES:
        [base] = [run.outcome for run in runs if run.outcome.policy == name]
        ratios = [
            of(run.outcome) / max(1e-9, of(_of(others, run.spec, name))) for run in others if run.outcome.policy == OURS
        ]
        found.append(figure(f"{measure_name}, over {name}", "×", of(runs[0].outcome) / max(1e-9, of(base)), ratios))
    return found


def _of(runs: Sequence[Run], spec: Spec, policy: str) -> Outcome:
    return next(run.outcome for run in runs if run.spec == spec and run.outcome.policy == policy)


_COLUMNS: Final[tuple[tuple[str, Callable[[Outcome], object]], ...]] = (
    ("policy", lambda one: one.policy),
    ("wait mean, s", lambda one: f"{one.wait.mean:.1f}"),
    ("p50", lambda one: f"{one.wait.p50:.1f}"),
    ("p95", lambda one: f"{one.wait.p95:.0f}"),
    ("p99", lambda one: f"{one.wait.p99:.0f}"),
    ("slowdown mean", lambda one: f"{one.slowdown.mean:.2f}"),
    ("p99", lambda one: f"{one.slowdown.p99:.1f}"),
    ("utilization", lambda one: f"{one.utilization:.3f}"),
    ("goodput", lambda one: f"{one.goodput:.3f}"),
    ("spend, HYPER", lambda one: f"{one.spend / 1e6:,.0f}"),
    ("Jain", lambda one: f"{one.jain:.3f}"),
    ("shortfall p95", lambda one: f"{one.shortfall:.3f}"),
    ("interruptions", lambda one: f"{one.interruptions:,}"),
    ("lost, h", lambda one: f"{one.lost_s / 3600:,.0f}"),
    ("warm", lambda one: f"{one.warm:.2f}"),
)


def _table(title: str, outcomes: Sequence[Outcome]) -> Table:
    return Table(title, [name for name, _ in _COLUMNS], [[str(show(one)) for _, show in _COLUMNS] for one in outcomes])


def _median(outcomes: Sequence[Outcome]) -> Outcome:
    """Of each figure by itself."""

    def middle(values: Sequence[Any]) -> Any:
        first = values[0]
        if isinstance(first, msgspec.Struct):
            parts = (middle([getattr(one, name) for one in values]) for name in first.__struct_fields__)
            return type(first)(*parts)
        return first if isinstance(first, str) else statistics.median(values)

    fields = outcomes[0].__struct_fields__
    return Outcome(**{name: middle([getattr(one, name) for one in outcomes]) for name in fields})


def main() -> None:
    """Replay a recorded trace under every policy."""
    parser = argparse.ArgumentParser(prog="python -m bench.matching", description=__doc__)
    parser.add_argument("--nodes", type=Path, required=True)
    parser.add_argument("--jobs", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0, help="decides ties and when nodes leave")
    arguments = parser.parse_args()
    nodes = read_nodes(arguments.nodes.read_text().splitlines())
    jobs = sorted(read_jobs(arguments.jobs.read_text().splitlines()), key=lambda job: job.at)

    def outcome(policy: Policy) -> Outcome:
        return Simulation(nodes, jobs, policy, arguments.seed).run()

    print(msgspec.json.format(msgspec.json.encode([outcome(policy) for policy in POLICIES]), indent=1).decode())


if __name__ == "__main__":
    main()
