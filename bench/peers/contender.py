"""What is asked of every system that is measured, and what it is measured by."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import msgspec

from bench.peers.catalogue import Traits
from bench.usage import Memory


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """Some thousands of tasks, from before the first was submitted until the last was known to be done."""

    tasks: int
    seconds: float
    cpu_s: float
    """Of the whole system: who submits, who runs, and all between."""
    core_cpu_s: float | None = None
    """Of Hypernode's coordinator and its database alone; None for others."""


class Running(Protocol):
    """A system that is up, with the way it is measured."""

    @property
    def version(self) -> str:
        """Its own, and of what it brings along."""

    def load(self, seconds: float) -> Load:
        """Keep it busy for about so long, after a warm-up that is not counted; the results are checked."""

    def one_by_one(self, tasks: int) -> list[float]:
        """Milliseconds from submitting a task until its end is known to whoever submitted it, one at a time."""

    def memory(self) -> Memory:
        """Of all its processes."""


class Contender(Protocol):
    """A system that can be measured."""

    @property
    def name(self) -> str:
        """As it is called in tables."""

    @property
    def traits(self) -> Traits:
        """What it does and doesn't do."""

    def install(self) -> None:
        """Make sure of all that running it needs."""

    def running(self, folder: Path) -> AbstractContextManager[Running]:
        """Start it afresh with its files in that folder; at the end nothing of it is left running."""


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One repetition."""

    version: str
    load: Load
    one_ms: list[float]
    memory: Memory


def measure(contender: Contender, folder: Path, load_s: float, singles: int) -> Measured:
    """Start, measure, stop."""
    with contender.running(folder) as system:
        load = system.load(load_s)
        return Measured(version=system.version, load=load, memory=system.memory(), one_ms=system.one_by_one(singles))
