"""What a node must not forget: which leases it took, and results no coordinator has acknowledged yet.

One thread owns the SQLite file. What changes is put together by lease, and only what is true in the end is written: a
commit for all results of one step of the event loop, and the next when that one is on disk. So a busy node syncs its
disk a few hundred times a second however many leases end in that second, and a lease that ends before it was written
down costs one row.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from hypernode.kernel.errors import InternalError, InvalidInput
from hypernode.protocol.messages import LeaseRef

SCHEMA_VERSION: Final = 1
COMPANY_S: Final = 0.05
"""How long what nobody waits for (leases taken, leases forgotten) may wait for a result to be written with."""

_SCHEMA: Final = """
create table if not exists leases (
    job_id blob not null,
    task integer not null,
    epoch integer not null,
    state text not null check (state in ('taken', 'finished')),
    at_ms integer not null,
    body blob,
    signature blob,
    check ((state = 'finished') = (body is not null and signature is not null)),
    primary key (job_id, task, epoch)
) without rowid;
create table if not exists totals (name text primary key, amount integer not null) without rowid;
"""
_KEEP: Final = "insert or replace into leases values (?, ?, ?, ?, ?, ?, ?)"
_FORGET: Final = "delete from leases where job_id = ? and task = ? and epoch = ?"
_COUNT: Final = "insert or replace into totals values (?, ?)"


class JournalDamaged(InvalidInput):
    """The node's journal cannot be read; move it away and start again: unpaid results in it are lost."""

    code = "node.journal_damaged"


class JournalFailed(InternalError):
    """The node's journal could not be written (disk full or failing); nothing that was not on disk was sent."""

    code = "node.journal_failed"


class Finished(msgspec.Struct, frozen=True):
    """A result that awaits its acknowledgement."""

    lease: LeaseRef
    body: bytes
    signature: bytes


class Recovered(msgspec.Struct, frozen=True):
    """What an agent that ended left behind."""

    interrupted: tuple[LeaseRef, ...]
    """Leases that had no result when it ended."""
    finished: tuple[Finished, ...]


class Totals(msgspec.Struct, frozen=True):
    """What this node did so far. Amounts in µHYPER."""

    done: int = 0
    """Results acknowledged and paid for by the coordinator's rules (a failed job is paid for its time)."""
    failed: int = 0
    """Leases refused by this node, and results refused by the coordinator."""
    earned: int = 0


_Row = tuple[bytes, int, int, str, int, bytes | None, bytes | None]


class _Changes:
    """What is to be written by one commit."""

    __slots__ = ("rows", "totals", "waiting")

    def __init__(self) -> None:
        self.rows: dict[LeaseRef, _Row | None] = {}
        """The latest of each lease; None: forgotten."""
        self.totals: Totals | None = None
        """If they have changed."""
        self.waiting: list[asyncio.Future[None]] = []


class Journal:
    """Opened for as long as the agent runs; called in its event loop. Nothing is written before what was said earlier.

    `finish` returns when the result is on disk. The others return at once and are on disk a moment later: losing the
    last of them in a crash costs at most one attempt or one repeated report, both of which the protocol expects.
    """

    def __init__(self, path: Path, on_failure: Callable[[BaseException], None] | None = None) -> None:
        """Opens or makes the file. Raises JournalDamaged. `on_failure` is called once, in the event loop, when a write
        fails; nothing is written after that."""
        self._path = path
        self._on_failure = on_failure
        self._changes = _Changes()
        self._next: asyncio.Handle | None = None
        """When the next commit begins, unless one is under way."""
        self._urgent = False
        self._under_way = False
        self._queue: queue.SimpleQueue[tuple[_Changes, asyncio.AbstractEventLoop] | None] = queue.SimpleQueue()
        self._totals = Totals()
        self._failed: JournalFailed | None = None
        self.recovered = self._open()
        self._thread = threading.Thread(target=self._write_all, name="journal", daemon=True)
        self._thread.start()

    @property
    def totals(self) -> Totals:
        """As of now, including what is not yet on disk."""
        return self._totals

    def take(self, lease: LeaseRef) -> None:
        """A lease was accepted."""
        self._changes.rows[lease] = (lease.job_id, lease.task, lease.epoch, "taken", _now(), None, None)
        self._schedule(urgent=False)

    async def finish(self, finished: Finished) -> None:
        """Keep a result until it is acknowledged. On disk on return. Raises JournalFailed."""
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        lease = finished.lease
        row = (lease.job_id, lease.task, lease.epoch, "finished", _now(), finished.body, finished.signature)
        self._changes.rows[lease] = row
        self._changes.waiting.append(written)
        self._schedule(urgent=True)
        await written

    def forget(self, lease: LeaseRef, *, done: int = 0, failed: int = 0, earned: int = 0) -> None:
        """A lease is over for this node: acknowledged, refused or dropped. The counts go into the totals."""
        totals = self._totals
        self._changes.rows[lease] = None
        self._changes.totals = self._totals = Totals(totals.done + done, totals.failed + failed, totals.earned + earned)
        self._schedule(urgent=False)

    def close(self) -> None:
        """Write what is waiting, and end. Idempotent."""
        if self._changes.rows:
            self._hand_over()
        self._queue.put(None)
        self._thread.join()

    # ── in the event loop ───────────────────────────────────────────────────────────────────────────────────────────

    def _schedule(self, *, urgent: bool) -> None:
        """See to it that a commit comes: at once, which is after this step of the loop, or when there is company."""
        if self._under_way:
            self._urgent = self._urgent or urgent
        elif self._next is None or (urgent and not self._urgent):
            if self._next is not None:
                self._next.cancel()
            loop = asyncio.get_running_loop()
            self._urgent = urgent
            self._next = loop.call_soon(self._hand_over) if urgent else loop.call_later(COMPANY_S, self._hand_over)

    def _hand_over(self) -> None:
        """Hand what waits to the thread."""
        if self._next is not None:
            self._next.cancel()
            self._next = None
        self._under_way = True
        self._urgent = False
        self._queue.put((self._changes, asyncio.get_running_loop()))
        self._changes = _Changes()

    def _committed(self, changes: _Changes, error: JournalFailed | None) -> None:
        self._under_way = False
        if error is not None and self._failed is None:
            self._failed = error
            if self._on_failure is not None:
                self._on_failure(error)
        for waiter in changes.waiting:
            if waiter.cancelled():
                continue
            if error is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(error)
        if self._changes.rows:
            urgent, self._urgent = self._urgent, False
            self._schedule(urgent=urgent)

    # ── in its thread ───────────────────────────────────────────────────────────────────────────────────────────────

    def _open(self) -> Recovered:
        try:
            connection = _connect(self._path)
            try:
                (version,) = connection.execute("pragma user_version").fetchone()
                if version > SCHEMA_VERSION:
                    raise JournalDamaged(f"{self._path} was written by a newer hypernode; update this one")
                (check,) = connection.execute("pragma quick_check(1)").fetchone()
                if check != "ok":
                    raise sqlite3.DatabaseError(check)
                connection.executescript(_SCHEMA)
                connection.execute(f"pragma user_version = {SCHEMA_VERSION}")
                recovered, self._totals = _read(connection)
                return recovered
            finally:
                connection.close()
        except sqlite3.Error as error:
            raise JournalDamaged(
                f"{self._path} cannot be read ({error}); move it away and start again (unpaid results in it are lost)"
            ) from error

    def _write_all(self) -> None:
        connection = _connect(self._path)
        failed: JournalFailed | None = None
        while (item := self._queue.get()) is not None:
            changes, loop = item
            # What a failed sync left on disk is unknown, so this process must not go on writing to it.
            failed = failed or self._commit(connection, changes)
            loop.call_soon_threadsafe(self._committed, changes, failed)
        connection.close()

    def _commit(self, connection: sqlite3.Connection, changes: _Changes) -> JournalFailed | None:
        rows = changes.rows
        try:
            connection.execute("begin immediate")
            connection.executemany(_KEEP, [row for row in rows.values() if row is not None])
            connection.executemany(_FORGET, [_key(lease) for lease, row in rows.items() if row is None])
            if changes.totals is not None:
                connection.executemany(_COUNT, msgspec.structs.asdict(changes.totals).items())
            connection.execute("commit")
        except (sqlite3.Error, OverflowError) as cause:  # no column holds more than 64 bits
            error = JournalFailed(f"{self._path}: {cause}")
            error.__cause__ = cause
            return error
        return None


def read_totals(path: Path) -> tuple[Totals, int]:
    """Totals and the number of unacknowledged results of a node whose agent does not run. Raises JournalDamaged."""
    if not path.exists():
        return Totals(), 0
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        try:
            recovered, totals = _read(connection)
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise JournalDamaged(f"{path} cannot be read: {error}") from error
    return totals, len(recovered.finished)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("pragma journal_mode = wal")
    connection.execute("pragma synchronous = full")
    return connection


def _read(connection: sqlite3.Connection) -> tuple[Recovered, Totals]:
    rows = connection.execute(
        "select job_id, task, epoch, state, body, signature from leases order by at_ms"
    ).fetchall()
    finished = tuple(Finished(LeaseRef(*row[:3]), row[4], row[5]) for row in rows if row[3] == "finished")
    interrupted = tuple(LeaseRef(*row[:3]) for row in rows if row[3] != "finished")
    totals = Totals(**dict(connection.execute("select name, amount from totals").fetchall()))
    return Recovered(interrupted, finished), totals


def _key(lease: LeaseRef) -> tuple[bytes, int, int]:
    return lease.job_id, lease.task, lease.epoch


def _now() -> int:
    return time.time_ns() // 1_000_000
