"""What can be done with money: deposit, hold, settle, refund, and show where it went."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec

from hypernode.db.bulk import Writer
from hypernode.db.pool import Connection, Pool, run_transaction
from hypernode.kernel import limits
from hypernode.kernel.errors import InvalidInput, InvariantViolated, NotFound, SupplyExhausted
from hypernode.kernel.money import show
from hypernode.kernel.times import rfc3339
from hypernode.ledger import store
from hypernode.ledger.model import (
    SHARES,
    SUPPLY,
    AccountKind,
    AccountView,
    Cause,
    LedgerSummary,
    ReceiptPage,
    Shares,
    StatementLine,
    StatementPage,
    Transfer,
)
from hypernode.ledger.receipt import Decision, Receipt, ReceiptBody, Split

_NEWEST: Final = 2**62
_PAIRS: Final = 10_000
"""Pairs of project and operator whose accounts are kept at hand."""


class Ledger:
    """Accounts and transfers. Account ids never change, so they are remembered."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._accounts: dict[tuple[str, UUID | None], int] = {}
        self._pairs: dict[tuple[UUID, UUID], tuple[int, int, int, int, int, int]] = {}
        self.shares: Shares = SHARES
        """How the prices of new jobs are split; governance keeps it current."""

    # ── building transfers ──────────────────────────────────────────────────────────────────────────────────────────

    async def know(self, connection: Connection, project_ids: Iterable[UUID]) -> None:
        """Make sure that the account ids of these projects are known."""
        missing = [p for p in set(project_ids) if (AccountKind.AVAILABLE, p) not in self._accounts]
        if missing or not self._accounts:
            for row in await store.find_accounts(connection, missing):
                self._accounts[row["kind"], row["project_id"]] = row["id"]

    def account(self, kind: AccountKind, project_id: UUID | None = None) -> int:
        """Id of an account. Call `know` first. Raises InvariantViolated for a project without accounts."""
        try:
            return self._accounts[kind, project_id]
        except KeyError:
            raise InvariantViolated(f"project {project_id} has no {kind} account") from None

    def hold(self, project_id: UUID, job_id: UUID, amount: int) -> list[Transfer]:
        """Put a job's cap into escrow."""
        return self._transfers(
            [(AccountKind.AVAILABLE, project_id, AccountKind.ESCROW, project_id, amount, Cause.HOLD)],
            job_id,
            None,
            None,
        )

    def settle(
        self, project_id: UUID, operator: UUID, split: Split, refund: int, job_id: UUID, task: int, epoch: int
    ) -> list[Transfer]:
        """Pay an attempt out of escrow by its split, and give the rest back."""
        escrow, available, earning, treasury, incentive, stakers = self._settling(project_id, operator)
        moves = (
            (earning, split.operator, Cause.PAYMENT),
            (treasury, split.treasury, Cause.FEE_TREASURY),
            (incentive, split.incentive, Cause.FEE_INCENTIVE),
            (stakers, split.stakers, Cause.FEE_STAKERS),
            (available, refund, Cause.REFUND),
        )
        return [
            Transfer(escrow, credit, amount, cause, job_id, task, epoch)
            for credit, amount, cause in moves
            if amount > 0
        ]

    def _settling(self, project_id: UUID, operator: UUID) -> tuple[int, int, int, int, int, int]:
        """The accounts of a settlement, looked up once a pair: each one is dear enough to show under load."""
        known = self._pairs.get((project_id, operator))
        if known is None:
            known = self._pairs[project_id, operator] = (
                self.account(AccountKind.ESCROW, project_id),
                self.account(AccountKind.AVAILABLE, project_id),
                self.account(AccountKind.AVAILABLE, operator),
                self.account(AccountKind.TREASURY),
                self.account(AccountKind.INCENTIVE),
                self.account(AccountKind.STAKERS),
            )
            if len(self._pairs) > _PAIRS:
                self._pairs.clear()
        return known

    def refund(
        self, project_id: UUID, amount: int, job_id: UUID, task: int | None = None, epoch: int | None = None
    ) -> list[Transfer]:
        """Give back what was held and is no longer needed."""
        return self._transfers(
            [(AccountKind.ESCROW, project_id, AccountKind.AVAILABLE, project_id, amount, Cause.REFUND)],
            job_id,
            task,
            epoch,
        )

    def move(
        self,
        debit: AccountKind,
        credit: AccountKind,
        amount: int,
        cause: Cause,
        *,
        debtor: UUID | None = None,
        creditor: UUID | None = None,
    ) -> Transfer:
        """Money from one account to another, for no job. Accounts without a project are nobody's."""
        return Transfer(self.account(debit, debtor), self.account(credit, creditor), amount, cause)

    def _transfers(
        self,
        moves: Sequence[tuple[AccountKind, UUID | None, AccountKind, UUID | None, int, Cause]],
        job_id: UUID,
        task: int | None,
        epoch: int | None,
    ) -> list[Transfer]:
        return [
            Transfer(self.account(debit, debtor), self.account(credit, creditor), amount, cause, job_id, task, epoch)
            for debit, debtor, credit, creditor, amount, cause in moves
            if amount > 0
        ]

    # ── use cases ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def deposit(self, project_id: UUID, amount: int) -> None:
        """Give a project money, in a local network by its admin. It comes from the issuance account."""
        if not 0 < amount <= limits.MICRO_HYPER:
            raise InvalidInput(f"a deposit must be between 1 and {limits.MICRO_HYPER} µHYPER")

        async def work(connection: Connection) -> None:
            await self.know(connection, [project_id])
            issuance = self.account(AccountKind.ISSUANCE)
            available = self.account(AccountKind.AVAILABLE, project_id)
            await store.insert_transfers(connection, [Transfer(issuance, available, amount, Cause.DEPOSIT)])

        try:
            await run_transaction(self._pool, work)
        except asyncpg.CheckViolationError as error:
            if error.constraint_name != "supply_is_bounded":
                raise
            raise SupplyExhausted(f"with this deposit more than {show(SUPPLY)} would have been issued") from error

    async def view(self, project_id: UUID) -> AccountView:
        """A project's money in sum."""
        row = await self._pool.fetchrow(store.queries.account_view, project_id)
        if row is None:
            raise NotFound(f"no project {project_id}")
        return AccountView(str(project_id), row["name"], row["available"], row["escrow"], row["earned"], row["spent"])

    async def statement(self, project_id: UUID, cursor: str | None, limit: int) -> StatementPage:
        """Movements of a project's accounts, newest first, each with the balance after it."""
        async with self._pool.acquire() as connection, connection.transaction(isolation="repeatable_read"):
            accounts = {row["id"]: row for row in await connection.fetch(store.queries.balances, project_id)}
            before, *known = _parse_cursor(cursor)
            balances = dict(zip(sorted(accounts), known, strict=False)) if known else {}
            if len(balances) != len(accounts):
                before, balances = _NEWEST, {key: row["balance"] for key, row in accounts.items()}
            rows = await connection.fetch(store.queries.statement, list(accounts), before, limit + 1)
        lines: list[StatementLine] = []
        for row in rows[:limit]:
            for side, sign in (("credit", 1), ("debit", -1)):
                account = accounts.get(row[side])
                if account is None:
                    continue
                amount = sign * row["amount"]
                lines.append(_line(row, AccountKind(account["kind"]), amount, balances[row[side]]))
                balances[row[side]] -= amount
        if len(rows) <= limit:
            return StatementPage(lines, None)
        # The next page goes on from these balances, so that no page has to sum up all that came after it.
        numbers = [rows[limit - 1]["id"], *(balances[key] for key in sorted(balances))]
        return StatementPage(lines, ".".join(map(str, numbers)))

    async def summary(self) -> LedgerSummary:
        """The whole ledger: does it add up?"""
        async with self._pool.acquire() as connection, connection.transaction(isolation="repeatable_read"):
            row = await connection.fetchrow(store.queries.summary)
        return LedgerSummary(
            dict(row["balances"]), row["total"] or 0, row["transfers"], row["settlements"], row["consistent"]
        )

    async def receipts(self, project_id: UUID, job_id: UUID, cursor: str | None, limit: int) -> ReceiptPage:
        """The receipts of a project's job, with both signatures. Raises NotFound, InvalidInput for a wrong cursor."""
        task, epoch = _parse_cursor(cursor, default=(-1, 0), largest=2**31 - 1)[:2]
        rows = await self._pool.fetch(store.queries.receipts, job_id, project_id, task, epoch, limit + 1)
        if not rows and not await self._pool.fetchval(store.queries.has_job, job_id, project_id):
            raise NotFound(f"there is no job {job_id}")
        last = rows[limit - 1] if len(rows) > limit else None
        return ReceiptPage([_receipt(row) for row in rows[:limit]], last and f"{last['task']}.{last['epoch']}")


def _parse_cursor(cursor: str | None, default: tuple[int, ...] = (_NEWEST,), largest: int = _NEWEST) -> tuple[int, ...]:
    if cursor is None:
        return default
    try:
        numbers = tuple(int(part) for part in cursor.split(".")[:3])
    except ValueError:
        numbers = ()
    if len(numbers) < len(default) or any(abs(number) > largest for number in numbers):
        raise InvalidInput("the cursor is not one this service gave")
    return numbers


def _line(row: Any, kind: AccountKind, amount: int, balance: int) -> StatementLine:
    return StatementLine(
        id=str(row["id"]),
        at=rfc3339(row["at"]),
        account=kind,
        cause=Cause(row["cause"]),
        amount=amount,
        balance=balance,
        job_id=str(row["job_id"]) if row["job_id"] else None,
        task=row["task"],
        epoch=row["epoch"],
    )


def _receipt(row: Any) -> Receipt:
    return Receipt(
        body=msgspec.json.decode(row["body"], type=ReceiptBody),
        node_signature=row["node_signature"],
        decision=msgspec.json.decode(row["decision"], type=Decision),
        coordinator_signature=row["coordinator_signature"],
    )


async def post(writer: Writer, transfers: Sequence[Transfer]) -> None:
    """Move money as part of a larger transaction."""
    await store.insert_transfers(writer, transfers)


async def lock_available(connection: Connection, project_ids: Sequence[UUID]) -> tuple[dict[UUID, int], datetime]:
    """What projects can spend, in µHYPER, held until the transaction ends; and when that began."""
    return await store.lock_available(connection, project_ids)


async def shared_balances(connection: Connection) -> dict[AccountKind, int]:
    """Balances of the accounts that belong to nobody, in µHYPER."""
    return {AccountKind(row["kind"]): row["balance"] for row in await connection.fetch(store.queries.shared_balances)}


async def open_accounts(connection: Connection, project_id: UUID) -> None:
    """Make a new project's accounts."""
    await store.open_accounts(connection, project_id)
