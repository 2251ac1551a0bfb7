"""What a node must not forget: which leases it took, and results no coordinator has acknowledged yet.

One thread owns the SQLite file. Writes asked for while a commit is under way form the next one, so a busy node syncs
its disk a few hundred times a second however many leases end in that second.
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
GROUP: Final = 512
"""Most writes in one commit."""

_SCHEMA: Final = """
create table if not exists leases (
    job_id blob not null,
    task integer not null,
    epoch integer not null,
    state text not null check (state in ('taken', 'running', 'finished')),
    at_ms integer not null,
    body blob,
    signature blob,
    check ((state = 'finished') = (body is not null and signature is not null)),
    primary key (job_id, task, epoch)
) without rowid;
create table if not exists totals (name text primary key, amount integer not null) without rowid;
"""
_TOTAL: Final = (
    "insert into totals values (?, ?) on conflict (name) do update set amount = totals.amount + excluded.amount"
)


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


_Write = tuple[str, tuple[object, ...]]


class Journal:
    """Opened for as long as the agent runs. Writes are made in the order of the calls.

    `finish` returns when the result is on disk. The others return at once: losing the last of them in a crash costs
    at most one attempt or one repeated report, both of which the protocol expects.
    """

    def __init__(self, path: Path, on_failure: Callable[[BaseException], None] | None = None) -> None:
        """Opens or makes the file. Raises JournalDamaged. `on_failure` is called once, from the journal's thread, when
        a write fails; nothing is written after that."""
        self._path = path
        self._on_failure = on_failure
        self._queue: queue.SimpleQueue[tuple[list[_Write], Callable[[BaseException | None], None] | None] | None] = (
            queue.SimpleQueue()
        )
        self._totals = Totals()
        self._failed: BaseException | None = None
        self.recovered = self._open()
        self._thread = threading.Thread(target=self._write_all, name="journal", daemon=True)
        self._thread.start()

    @property
    def totals(self) -> Totals:
        """As of now, including what is not yet on disk."""
        return self._totals

    def take(self, lease: LeaseRef) -> None:
        """A lease was accepted."""
        self._put([("insert or ignore into leases values (?, ?, ?, 'taken', ?, null, null)", (*_key(lease), _now()))])

    def running(self, lease: LeaseRef) -> None:
        """Its process has started."""
        self._put([("update leases set state = 'running' where (job_id, task, epoch) = (?, ?, ?)", _key(lease))])

    async def finish(self, finished: Finished) -> None:
        """Keep a result until it is acknowledged. On disk on return. Raises JournalFailed."""
        loop = asyncio.get_running_loop()
        written: asyncio.Future[None] = loop.create_future()

        def done(error: BaseException | None) -> None:
            loop.call_soon_threadsafe(_settle, written, error)

        row = (*_key(finished.lease), _now(), finished.body, finished.signature)
        self._put([("insert or replace into leases values (?, ?, ?, 'finished', ?, ?, ?)", row)], done)
        await written

    def forget(self, lease: LeaseRef, *, done: int = 0, failed: int = 0, earned: int = 0) -> None:
        """A lease is over for this node: acknowledged, refused or dropped. The counts go into the totals."""
        totals = self._totals
        self._totals = Totals(totals.done + done, totals.failed + failed, totals.earned + earned)
        writes: list[_Write] = [("delete from leases where (job_id, task, epoch) = (?, ?, ?)", _key(lease))]
        for name, amount in (("done", done), ("failed", failed), ("earned", earned)):
            if amount:
                writes.append((_TOTAL, (name, amount)))
        self._put(writes)

    def close(self) -> None:
        """Write what is waiting, and end. Idempotent."""
        self._queue.put(None)
        self._thread.join()

    def _put(self, writes: list[_Write], done: Callable[[BaseException | None], None] | None = None) -> None:
        self._queue.put((writes, done))

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
        ending = False
        while not ending:
            group = [self._queue.get()]
            while len(group) < GROUP and not self._queue.empty():
                group.append(self._queue.get())
            ending = None in group
            items = [item for item in group if item is not None]
            error: BaseException | None = self._failed
            if items and error is None:
                error = self._commit(connection, [write for writes, _ in items for write in writes])
            for _, done in items:
                if done is not None:
                    done(error)
        connection.close()

    def _commit(self, connection: sqlite3.Connection, writes: list[_Write]) -> BaseException | None:
        try:
            connection.execute("begin immediate")
            for sql, values in writes:
                connection.execute(sql, values)
            connection.execute("commit")
        except sqlite3.Error as cause:
            # What a failed sync left on disk is unknown, so this process must not go on writing to it.
            self._failed = error = JournalFailed(f"{self._path}: {cause}")
            error.__cause__ = cause
            if self._on_failure is not None:
                self._on_failure(error)
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


def _settle(future: asyncio.Future[None], error: BaseException | None) -> None:
    if future.cancelled():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
