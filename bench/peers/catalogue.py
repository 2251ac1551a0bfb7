"""The peers, and what each system does and doesn't do as it is measured here, by its own documentation."""

from __future__ import annotations

from typing import Final

import msgspec


class Traits(msgspec.Struct, frozen=True, kw_only=True):
    """What a task gets from a system. Words rather than ticks where yes or no would be half the truth."""

    task: str
    """What the no-op is here."""
    durable: str
    """Whether a task that was accepted outlives power failure, with the settings it is measured with."""
    results: str
    """What is kept of an ended task, and where."""
    retries: str
    isolates: str
    meters: str
    """Whether it measures what a task used, so that it could be billed."""
    signs: str
    pays: str


class PeerSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A peer. Its driver is `bench.peers.drivers.<module>`; `requirements/<module>.txt` locks its environment."""

    name: str
    module: str
    traits: Traits
    python: tuple[int, int] = (3, 11)
    """The oldest Python it runs on."""
    built: tuple[str, ...] = ()
    """What there is no wheel of, and so takes a compiler to install."""
    postgres: bool = False
    """Whether it works on a PostgreSQL, which is then the embedded one with our settings, fsync on."""


_NOTHING: Final = {"isolates": "no", "meters": "no", "signs": "no", "pays": "no"}
_FUNCTION: Final = "function in a worker process"

PEERS: Final = (
    PeerSpec(
        name="Ray",
        module="ray",
        traits=Traits(
            task=_FUNCTION,
            durable="no: in memory",
            results="in its object store while referred to",
            retries="lost workers (3 times)",
            **_NOTHING,
        ),
    ),
    PeerSpec(
        name="Dask distributed",
        module="dask",
        traits=Traits(
            task=_FUNCTION,
            durable="no: in memory",
            results="in a worker's memory while referred to",
            retries="lost workers (3 times)",
            **_NOTHING,
        ),
    ),
    PeerSpec(
        name="Celery + Redis",
        module="celery",
        traits=Traits(
            task=_FUNCTION,
            durable="no: Redis writes snapshots",
            results="in Redis for a day",
            retries="none unless asked for",
            **_NOTHING,
        ),
    ),
    PeerSpec(
        name="Dramatiq + Redis",
        module="dramatiq",
        traits=Traits(
            task="function in a worker's thread",
            durable="no: Redis writes snapshots",
            results="in Redis for 10 minutes",
            retries="errors (20 times), lost workers",
            **_NOTHING,
        ),
    ),
    PeerSpec(
        name="Procrastinate",
        module="procrastinate",
        postgres=True,
        traits=Traits(
            task="asynchronous function in a worker process",
            durable="yes: PostgreSQL, fsync on",
            results="state in PostgreSQL, no result",
            retries="none unless asked for",
            **_NOTHING,
        ),
    ),
    PeerSpec(
        name="oban-py",
        module="oban",
        python=(3, 12),
        built=("erlpack",),
        postgres=True,
        traits=Traits(
            task="asynchronous method in a worker process",
            durable="yes: PostgreSQL, fsync on",
            results="state in PostgreSQL for a day, result if asked for",
            retries="errors (20 times), lost workers",
            **_NOTHING,
        ),
    ),
    PeerSpec(
        name="HyperQueue",
        module="hyperqueue",
        traits=Traits(
            task="a process, /bin/true",
            durable="no: in memory, journal if asked for",
            results="exit state in memory",
            retries="lost workers (5 times)",
            **_NOTHING,
        ),
    ),
)

OURS: Final = Traits(
    task="the whole life of a job, but for its process: no sandbox starts",
    durable="yes: PostgreSQL, fsync on, and the node's journal",
    results="state, log, outputs and signed receipt",
    retries="lost nodes; errors if asked for",
    isolates="yes, but not the no-op here",
    meters="yes",
    signs="yes: node and coordinator",
    pays="yes: escrow, price, fees, refund",
)
