"""The part `peers`: every system starts, is measured and stops, one after the other, and that several times."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from bench.measuring import CheckFailed, Say, network_parameters
from bench.peers.catalogue import PEERS
from bench.peers.contender import Contender, Measured, measure
from bench.peers.driven import Peer
from bench.peers.ours import BATCH, Hypernode
from bench.peers.tables import OURS, Comparison
from bench.results import Report, aim

METHOD: Final = """\
The same no-op in every system, on the same machine, in turns: each is started afresh, warmed up, given many tasks for
{load_s:g} s or so, then {singles} tasks one at a time, 5 to 25 ms apart, and stopped; after the last of them the
first comes again, {repetitions} times in all. Everybody has two workers and is set up as its documentation recommends
for many small tasks; Hypernode has two nodes and gets batches of {batch} jobs. All results are waited for and
checked, where a system keeps none (Procrastinate, oban-py) the states; in Hypernode every settlement and the ledger.

**CPU** is user and system time of all processes of a system, those included that have ended: who submits and checks,
brokers and databases, schedulers, workers and nodes. The ratio compares whole systems, in the same round. Elsewhere
on this page Hypernode's figure is coordinator and database alone, because nodes and clients are other people's
machines; it stands here in a line of its own, and no ratio is made with it. **One at a time**: from before submitting
until the submitter knows the end, in Hypernode by `submit` and `wait`; three before that are not counted. **Memory**
is that of all processes after the load, for Hypernode without the submitter's. In brackets: least and most of the
repetitions.

What differs: nobody isolates the no-op, Hypernode neither, whose nodes do everything but start the sandbox (what that
adds stands under *Sandbox start*). HyperQueue's task is a process, /bin/true; its client looks once a second, so its
rate may be too low by a sixth, and its task one at a time tells by itself that it runs. Redis has its default
settings, so Celery and Dramatiq may lose what was submitted since its last snapshot. Several calls in one task, as in
Celery's chunks, are possible everywhere and cheaper everywhere; they are not measured, as it is tasks that are
retried, and paid.
"""


def peers(quick: bool, say: Say) -> Report:
    """Hypernode and its peers."""
    repetitions, load_s, singles = (1, 1.5, 20) if quick else (3, 6.0, 40)
    contenders: list[Contender] = [Hypernode(), *(Peer(spec, say) for spec in PEERS)]
    found, errors = _rounds(contenders, repetitions, load_s, singles, say)
    comparison = Comparison(found, {one.name: one.traits for one in contenders}, errors)
    core, whole = comparison.over_leanest()
    return Report(
        title="Beside others",
        method=METHOD.format(load_s=load_s, singles=singles, repetitions=repetitions, batch=BATCH).strip(),
        parameters={
            **network_parameters(),
            "repetitions": repetitions,
            "load_s": load_s,
            "singles": singles,
            "hypernode_jobs_per_request": BATCH,
            "versions": {name: of[0].version for name, of in found.items() if of},
            "loads": {name: [[one.load.tasks, round(one.load.seconds, 2)] for one in of] for name, of in found.items()},
            "errors": errors,
        },
        figures=[*comparison.figures(), core, whole],
        aims=[
            aim("coordinator + database over the leanest peer's whole system", core, 1.0),
            aim("whole system over the leanest peer's", whole, 1.0),
        ],
        checks={
            "tasks_checked": sum(one.load.tasks + len(one.one_ms) for of in found.values() for one in of),
            "systems_measured": sum(bool(of) for of in found.values()),
            "systems_failed": len(errors),
        },
        tables=comparison.tables(),
        figures_in_tables=True,
    )


def _rounds(
    contenders: Sequence[Contender], repetitions: int, load_s: float, singles: int, say: Say
) -> tuple[dict[str, list[Measured]], dict[str, str]]:
    """What was measured of each, and what went wrong with whom; who failed once is not tried again. Raises CheckFailed
    where it is Hypernode that failed, as there is nothing to compare with then."""
    found: dict[str, list[Measured]] = {contender.name: [] for contender in contenders}
    errors: dict[str, str] = {}
    for number in range(repetitions):
        for contender in contenders:
            if contender.name in errors:
                continue
            try:
                if number == 0:
                    contender.install()
                say(f"{contender.name}, {number + 1} of {repetitions}")
                with TemporaryDirectory(prefix="hypernode-bench-", ignore_cleanup_errors=True) as folder:
                    found[contender.name].append(measure(contender, Path(folder), load_s, singles))
            except Exception as error:
                if contender.name == OURS:
                    raise CheckFailed(f"Hypernode could not be measured: {error}") from error
                errors[contender.name] = f"{type(error).__name__}: {error}"
                say(f"{contender.name} failed: {str(error).splitlines()[-1] if str(error) else type(error).__name__}")
    return found, errors
