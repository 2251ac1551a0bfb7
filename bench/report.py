"""`docs/benchmarks.md`, made of the results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bench.results import ROOT, Aim, Figure, Result, Table

PATH: Final = ROOT / "docs" / "benchmarks.md"

_HEAD: Final = """\
# Benchmarks

Measured by `make bench`, which writes `bench/results/*.json` and this page. CPU time per operation is the figure to
compare: rates are floors where the machine is shared. Beside each figure stands its spread over repetitions.

The jobs of the throughput, latency and array parts do nothing: a no-op sandbox, which exists in the bench only and
says so in its node's capabilities, ends every task at once. Everything else is real: escrow, leases, journals, signed
receipts that are verified, settlements with operator's pay, fees and refund, on PostgreSQL that syncs to disk. After
each run the number of settlements is compared with the number of jobs, and the ledger is added up.
"""


_WHY: Final = """\
Why aims are missed. **CPU of a job, and so the rate**: checking the node's signature and countersigning take 80 µs in
libsodium; the rest is spread thin over some 230 values that travel to PostgreSQL and 36 index entries a job, see
*Where the time goes*; and a fifth of the database's share is autovacuum, which has to keep up with growing tables.
(The nodes' own CPU per job, for which nothing grows, varies by half as much again over the same windows, in step with
the coordinator's: so does the machine.) **Submit to start**: five ways to the database and back, of 0.15 to 0.7 ms
each, two of which wait for the disk; the rest is Python on both sides of HTTP, 0.6 ms of it before the client has
sent its first byte. **Idle nodes** are within their aim here and were not half an hour before, at the same pace: 4.2
and 5.5 %, as the machine's speed goes; in turns with the code before it was 5.2 and 7.4 %. **Utilization of
matching**: on the large trace nodes are as full as in order of submission and 0.6 % less than by best-fit, at a half
and a third of their wait and at 0.93 and 0.88 of their spend. It is the order that makes the difference: the same
matching without turns, all work *in one line*, is as full as best-fit at 2.9 times the wait. Where projects take
turns small work is served at once; what waits is nearly all large and leaves gaps that nothing fits in, while in
order of submission there is something for every gap just because everybody waits. Emptying nodes for what is large
lost more than it won (ADR 0014). **Beside others**: nobody else signs, meters or pays.
"""


def render(results: dict[str, Result], order: Sequence[str]) -> str:
    """The page."""
    found = [results[part] for part in order if part in results]
    lines = [_HEAD, "## Aims\n", "| aim | | measured | met |", "|---|---:|---:|---|"]
    for result in found:
        lines += [f"| {one.name} | {one.bound} | {one.value:g} {one.unit} | {_verdict(one)} |" for one in result.aims]
    lines.append("")
    if not all(one.met for result in found for one in result.aims):
        lines.append(_WHY)
    for result in found:
        lines += _part(result)
    lines.append("## Machine\n")
    lines += _machines(found)
    return "\n".join(lines).rstrip() + "\n"


def _verdict(one: Aim) -> str:
    """Whether an aim is met, or by how much it is missed."""
    if one.met:
        return "yes"
    worse, better = (one.limit, one.value) if one.least else (one.value, one.limit)
    return f"**no**, by a factor of {worse / better:.3g}" if better else "**no**"


def _part(result: Result) -> list[str]:
    lines = [f"## {result.title}\n", result.method + "\n"]
    if not result.figures_in_tables:
        lines += _figures(result.figures)
    lines += [line for table in result.tables for line in _table(table)]
    if result.checks:
        lines.append("Checked: " + ", ".join(f"{_words(k)} {_show(v)}" for k, v in result.checks.items()) + ".\n")
    note = " A quick run, with few repetitions." if result.quick else ""
    tree = " with uncommitted changes" if result.dirty else ""
    lines.append(
        f"Commit `{result.commit[:12]}`{tree}, {result.date}; load average before: {result.load_before:g}.{note}\n"
    )
    return lines


def _table(table: Table) -> list[str]:
    lines = [f"{table.title}\n", "| " + " | ".join(table.columns) + " |"]
    lines.append("|" + "---|" * table.words + "---:|" * (len(table.columns) - table.words))
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in table.rows]
    return [*lines, ""]


def _figures(figures: Sequence[Figure]) -> list[str]:
    lines = ["| figure | value | unit | min | median | max | repetitions |", "|---|---:|---|---:|---:|---:|---:|"]
    return [*lines, *(_row(one) for one in figures), ""]


def _row(one: Figure) -> str:
    spread = f"{one.min:g} | {one.median:g} | {one.max:g} | {one.repetitions}"
    if one.repetitions == 1:
        spread = "| | | 1"
    return f"| {one.name} | {one.value:g} | {one.unit} | {spread} |"


def _machines(found: Sequence[Result]) -> list[str]:
    """One table where all parts ran on the same machine, else one each."""
    lines: list[str] = []
    by_machine: dict[tuple[object, ...], list[Result]] = {}
    for result in found:
        m = result.machine
        key = (m.cpu, m.cores, m.memory_gib, m.kernel, m.system, m.python, m.postgresql)
        by_machine.setdefault(key, []).append(result)
    for results in by_machine.values():
        if len(by_machine) > 1:
            lines.append(", ".join(result.title for result in results) + ":\n")
        m = results[0].machine
        lines += ["| | |", "|---|---|"]
        lines += [
            f"| processor | {m.cpu}, {m.cores} cores |",
            f"| memory | {m.memory_gib:g} GiB |",
            f"| system | {m.system}, Linux {m.kernel} |",
            f"| Python | {m.python} |",
            f"| PostgreSQL | {m.postgresql}, embedded |",
            f"| writing 8 KiB to disk (fdatasync), p50 | {m.fdatasync_ms:g} ms |",
            "",
        ]
    return lines


def _words(name: str) -> str:
    return name.replace("_", " ")


def _show(value: object) -> str:
    return (
        ("yes" if value else "no")
        if isinstance(value, bool)
        else f"{value:,}"
        if isinstance(value, int)
        else f"{value}"
    )


def write(results: dict[str, Result], order: Sequence[str]) -> Path:
    """Regenerate the page."""
    PATH.write_text(render(results, order))
    return PATH
