"""What was measured, as figures and side by side."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Final

from bench.peers.catalogue import Traits
from bench.peers.contender import Measured
from bench.results import Figure, Table, figure, percentile

OURS: Final = "Hypernode"
ERROR_LENGTH: Final = 160
WHOLE: Final = "CPU per task, whole system"
CORE: Final = "CPU per task, coordinator + database"
RATIO: Final = "CPU over Hypernode's"
RATE: Final = "tasks per second"
P50, P99 = "one at a time p50", "one at a time p99"


class Comparison:
    """Repetitions by system, Hypernode's among them, in the order of the rounds."""

    def __init__(
        self, found: Mapping[str, Sequence[Measured]], traits: Mapping[str, Traits], errors: Mapping[str, str]
    ) -> None:
        self._found = {name: list(of) for name, of in found.items() if of}
        self._traits = traits
        self._errors = errors

    def over_leanest(self) -> tuple[Figure, Figure]:
        """How much CPU Hypernode takes over the peer with the least: coordinator and database alone, and everything."""
        leanest = min((name for name in self._found if name != OURS), key=self._median_cpu_ms, default=OURS)
        pairs = list(zip(self._found[OURS], self._found[leanest], strict=False))
        core = [core_cpu_ms(ours) / cpu_ms(other) for ours, other in pairs]
        whole = [cpu_ms(ours) / cpu_ms(other) for ours, other in pairs]
        return (
            figure(f"coordinator + database CPU over all of {leanest}", "×", statistics.median(core), core),
            figure(f"whole system's CPU over all of {leanest}", "×", statistics.median(whole), whole),
        )

    def figures(self) -> list[Figure]:
        """All of them, by system."""
        return [one for name in self._found for one in self._figures(name).values()]

    def tables(self) -> list[Table]:
        """What each system costs, the leanest first; and what each does."""
        return [self._costs(), self._does()]

    def _median_cpu_ms(self, name: str) -> float:
        return statistics.median(cpu_ms(one) for one in self._found[name])

    def _figures(self, name: str) -> dict[str, Figure]:
        of = self._found[name]
        together = [taken for one in of for taken in one.one_ms]
        by_repetition = {
            WHOLE: ("ms", [cpu_ms(one) for one in of]),
            RATIO: ("×", self._ratios(name)),
            RATE: ("1/s", [one.load.tasks / one.load.seconds for one in of]),
            "PSS": ("MiB", [one.memory.pss for one in of]),
            "RSS": ("MiB", [one.memory.rss for one in of]),
        }
        found = {
            what: figure(f"{name}: {what}", unit, statistics.median(values), values)
            for what, (unit, values) in by_repetition.items()
        }
        if name == OURS:
            core = [core_cpu_ms(one) for one in of]
            found[CORE] = figure(f"{name}: {CORE}", "ms", statistics.median(core), core)
        for what, share in ((P50, 0.5), (P99, 0.99)):
            spread = [percentile(one.one_ms, share) for one in of]
            found[what] = figure(f"{name}: {what}", "ms", percentile(together, share), spread)
        return found

    def _ratios(self, name: str) -> list[float]:
        """In each round; a peer that failed has fewer."""
        return [cpu_ms(one) / cpu_ms(ours) for one, ours in zip(self._found[name], self._found[OURS], strict=False)]

    def _costs(self) -> Table:
        rows = []
        for name in sorted(self._found, key=self._median_cpu_ms):
            found = self._figures(name)
            rows.append(
                [
                    f"**{name}**" if name == OURS else name,
                    self._found[name][0].version,
                    _spread(found[WHOLE]),
                    f"{found[RATIO].median:.2f}",
                    f"{found[RATE].median:,.0f}",
                    f"{found[P50].value:.1f}",
                    f"{found[P99].value:.1f}",
                    f"{found['PSS'].median:.0f}",
                    f"{found['RSS'].median:.0f}",
                ]
            )
            if name == OURS:
                core = _spread(found[CORE])
                rows.append(["of that coordinator + database", "", core, "", "", "", "", "", ""])
        for name, error in self._errors.items():
            why = " ".join(error.split())
            short = why if len(why) <= ERROR_LENGTH else "… " + why[-ERROR_LENGTH:]
            rows.append([name, f"failed: {short}", "", "", "", "", "", "", ""])
        return Table(
            title="What a task costs",
            columns=[
                "system",
                "version",
                "CPU per task, whole system, ms",
                "× Hypernode",
                "tasks/s",
                "one at a time p50, ms",
                "p99, ms",
                "memory, PSS MiB",
                "RSS MiB",
            ],
            rows=rows,
            words=2,
        )

    def _does(self) -> Table:
        rows = [
            [name, of.task, of.durable, of.results, of.retries, of.isolates, of.meters, of.signs, of.pays]
            for name, of in self._traits.items()
        ]
        return Table(
            title="What it does for that, as set up here",
            columns=["system", "task", "durable", "kept", "retries", "isolates", "meters use", "signs", "pays"],
            rows=rows,
            words=9,
        )


def cpu_ms(one: Measured) -> float:
    """Of the whole system, per task."""
    return one.load.cpu_s * 1000 / one.load.tasks


def core_cpu_ms(one: Measured) -> float:
    """Of Hypernode's coordinator and database, per task."""
    assert one.load.core_cpu_s is not None
    return one.load.core_cpu_s * 1000 / one.load.tasks


def _spread(one: Figure) -> str:
    return f"{one.median:g}" if one.repetitions == 1 else f"{one.median:g} ({one.min:g}–{one.max:g})"
