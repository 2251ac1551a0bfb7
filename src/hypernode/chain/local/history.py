"""The transactions that were executed, and of a chain that is kept its accounts, in SQLite: in memory or in a folder.

What is written becomes durable when a block is closed: a chain that is killed goes on from its last closed block.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from solders.account import Account
from solders.pubkey import Pubkey

from hypernode.chain.local.bank import Saved
from hypernode.chain.local.record import Record
from hypernode.chain.local.settings import HISTORY, LEDGER_FILE, STATUS_SLOTS
from hypernode.kernel.errors import InvalidInput

FORMAT: Final = 1

_SCHEMA: Final = """
create table if not exists entry (
    number integer primary key, signature text not null unique, slot integer not null, record blob not null);
create table if not exists mention (
    address text not null, number integer not null, primary key (address, number)) without rowid;
create index if not exists mention_number on mention (number);
create index if not exists entry_slot on entry (slot);
create table if not exists account (
    address blob primary key, lamports blob not null, data blob not null, owner blob not null,
    executable integer not null, rent_epoch blob not null);
create table if not exists head (only integer primary key check (only = 1), value blob not null);
"""


class Head(msgspec.Struct, frozen=True):
    """Where a saved chain stands."""

    genesis: bytes
    slot: int
    unix_time: int
    transactions: int
    hashes: list[tuple[int, bytes]]


class Mentioned(msgspec.Struct, frozen=True):
    """A line of an address's history."""

    signature: str
    slot: int
    block_time: int
    error: Any


class History:
    """All transactions, the oldest of more than HISTORY forgotten."""

    def __init__(self, folder: Path | None) -> None:
        """Raises InvalidInput for a folder that holds something else, or is in use."""
        self._kept = folder is not None
        try:
            if folder is not None:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            place = ":memory:" if folder is None else str(folder / LEDGER_FILE)
            self._base = sqlite3.connect(place, isolation_level=None, timeout=0.5)
            if self._kept:
                # Only one process may ever have it open: its accounts live in that one's memory.
                self._base.execute("pragma locking_mode = exclusive")
                self._base.execute("pragma journal_mode = wal")
                self._base.execute("pragma synchronous = normal")
            self._base.execute("begin exclusive")
            (found,) = self._base.execute("pragma user_version").fetchone()
            if found not in (0, FORMAT):
                raise InvalidInput(
                    f"the ledger in {folder} has format {found}, this version reads {FORMAT}; use --reset"
                )
            for statement in _SCHEMA.split(";"):
                self._base.execute(statement)
            self._base.execute(f"pragma user_version = {FORMAT}")
        except (sqlite3.Error, OSError) as error:
            locked = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY
            what = "another chain has it open; stop that first" if locked else f"{error}; --reset makes a new one"
            raise InvalidInput(f"cannot use the ledger in {folder}: {what}") from error
        (self._last,) = self._base.execute("select coalesce(max(number), 0) from entry").fetchone()

    def close(self) -> None:
        """Make durable what is written, and let go of the folder."""
        if self._base.in_transaction:
            self._base.execute("commit")
        self._base.close()

    def add(self, record: Record) -> None:
        """Keep an executed transaction."""
        self._last += 1
        self._base.execute(
            "insert into entry values (?, ?, ?, ?)",
            (self._last, record.signature, record.slot, msgspec.msgpack.encode(record)),
        )
        self._base.executemany(
            "insert or ignore into mention values (?, ?)", [(key, self._last) for key in record.keys]
        )

    def close_block(self, head: Head, changes: Mapping[Pubkey, Account | None]) -> None:
        """A block is complete: forget what is too old and, of a chain that is kept, make all of it durable."""
        self._base.execute("delete from mention where number <= ?", (self._last - HISTORY,))
        self._base.execute("delete from entry where number <= ?", (self._last - HISTORY,))
        if not self._kept:
            return
        for key, account in changes.items():
            if account is None:
                self._base.execute("delete from account where address = ?", (bytes(key),))
            else:
                self._base.execute("insert or replace into account values (?, ?, ?, ?, ?, ?)", _row(key, account))
        self._base.execute("insert or replace into head values (1, ?)", (msgspec.msgpack.encode(head),))
        self._base.execute("commit")
        self._base.execute("begin exclusive")

    def saved(self) -> tuple[Head, Saved] | None:
        """The chain that the folder holds, or None for a new one."""
        row = self._base.execute("select value from head").fetchone()
        if row is None:
            return None
        head = msgspec.msgpack.decode(row[0], type=Head)
        records = self._base.execute(
            "select record from entry where slot >= ? order by number", (head.slot - STATUS_SLOTS,)
        )
        return head, Saved(
            slot=head.slot,
            unix_time=head.unix_time,
            transactions=head.transactions,
            hashes=head.hashes,
            accounts=dict(map(_account, self._base.execute("select * from account"))),
            records=[msgspec.msgpack.decode(value, type=Record) for (value,) in records],
        )

    def get(self, signature: str) -> Record | None:
        """A transaction, or None for one that never was executed or is forgotten."""
        row = self._base.execute("select record from entry where signature = ?", (signature,)).fetchone()
        return None if row is None else msgspec.msgpack.decode(row[0], type=Record)

    def mentions(
        self, address: str, *, before: str | None, until: str | None, up_to_slot: int, limit: int
    ) -> Sequence[Mentioned]:
        """The transactions that name an address, newest first, between two signatures (both left out)."""
        ends = [self._number(before, self._last + 1), self._number(until, 0)]
        rows: Iterable[tuple[bytes]] = self._base.execute(
            "select record from mention join entry using (number)"
            " where address = ? and number < ? and number > ? and slot <= ? order by number desc limit ?",
            (address, *ends, up_to_slot, limit),
        )
        return [msgspec.msgpack.decode(value, type=Mentioned) for (value,) in rows]

    def first_slot(self) -> int:
        """The first slot of which nothing is forgotten."""
        number, slot = self._base.execute("select min(number), min(slot) from entry").fetchone()
        return 0 if number in (None, 1) else int(slot) + 1

    def of_slot(self, slot: int) -> Sequence[Record]:
        """The transactions of a block, in order."""
        rows = self._base.execute("select record from entry where slot = ? order by number", (slot,))
        return [msgspec.msgpack.decode(value, type=Record) for (value,) in rows]

    def _number(self, signature: str | None, otherwise: int) -> int:
        if signature is None:
            return otherwise
        row = self._base.execute("select number from entry where signature = ?", (signature,)).fetchone()
        return otherwise if row is None else int(row[0])


def _row(key: Pubkey, account: Account) -> tuple[bytes, bytes, bytes, bytes, bool, bytes]:
    # Blobs for what may need all 64 bits: SQLite's integers have a sign.
    lamports, epoch = account.lamports.to_bytes(8, "big"), account.rent_epoch.to_bytes(8, "big")
    return bytes(key), lamports, account.data, bytes(account.owner), account.executable, epoch


def _account(row: tuple[bytes, bytes, bytes, bytes, int, bytes]) -> tuple[Pubkey, Account]:
    key, lamports, data, owner, executable, epoch = row
    return Pubkey.from_bytes(key), Account(
        int.from_bytes(lamports, "big"), data, Pubkey.from_bytes(owner), bool(executable), int.from_bytes(epoch, "big")
    )
