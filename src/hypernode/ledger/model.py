"""Money decisions, pure: what an attempt costs and how a price is split. Rules and constants: the economics page."""

from __future__ import annotations

import enum
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from msgspec import Meta

from hypernode.kernel import limits, money
from hypernode.kernel.errors import InvariantViolated
from hypernode.ledger.receipt import Receipt, Split
from hypernode.nodes.model import Ask

LEAST_OPERATOR_BPS: Final = 8000
SUPPLY: Final = 1_000_000_000 * money.MICRO_PER_HYPER
"""All there can ever be, in µHYPER. The database refuses to issue more."""


class AccountKind(enum.StrEnum):
    """What an account is for. `issuance` is where deposits come from and the only one that may be below zero."""

    AVAILABLE = "available"  # a project's money
    ESCROW = "escrow"  # a project's money held for its jobs
    ISSUANCE = "issuance"
    TREASURY = "treasury"
    INCENTIVE = "incentive"
    STAKERS = "stakers"  # rewards of stakers, distributed or not
    STAKED = "staked"  # all stakes
    BONDED = "bonded"  # bonds of open cases
    VESTING = "vesting"  # locked, comes free in cycles
    OPERATIONS = "operations"  # the operators' part of what came free
    BURNED = "burned"  # out of the supply, for ever


class Cause(enum.StrEnum):
    """Why money moved."""

    DEPOSIT = "deposit"
    HOLD = "hold"
    PAYMENT = "payment"  # to the operator
    FEE_TREASURY = "fee_treasury"
    FEE_INCENTIVE = "fee_incentive"
    FEE_STAKERS = "fee_stakers"
    REFUND = "refund"
    STAKE = "stake"
    WITHDRAWAL = "withdrawal"  # of an ended stake
    REWARD = "reward"  # of a stake
    BOND = "bond"  # of a report
    BOND_RETURN = "bond_return"
    BOND_FORFEIT = "bond_forfeit"
    SLASH = "slash"  # from a stake to the treasury
    SLASH_REWARD = "slash_reward"  # from a stake to who reported it
    BURN = "burn"
    SPEND = "spend"  # from a fund, by a vote; from operations, by the admin
    VESTING = "vesting"  # locked when vesting began
    UNLOCK = "unlock"


class Transfer(msgspec.Struct, frozen=True, gc=False):
    """Money from one account to another. Both sides are one row, so a transfer cannot fail to balance."""

    debit: int
    credit: int
    amount: int
    cause: Cause
    job_id: UUID | None = None
    task: int | None = None
    epoch: int | None = None


def worst_price(ask: Ask, timeout_s: int) -> int:
    """The most an attempt can cost on a node with this ask: its whole timeout, in µHYPER."""
    return ask.rate_per_second * timeout_s + ask.fixed


def price(ask: Ask, billed_ms: int, remaining_cap: int) -> int:
    """Price of an attempt: `rate · billed time + fixed`, floored to µHYPER and never above what is left of the cap."""
    return min(remaining_cap, ask.rate_per_second * billed_ms // 1000 + ask.fixed)


def billed_ms(claimed_ms: int, evidence_ms: int, timeout_s: int) -> int:
    """Billing by evidence: what the node claims to have run, but no more than the coordinator saw it alive and
    running, and no more than the job's timeout."""
    return max(0, min(claimed_ms, evidence_ms, timeout_s * 1000))


class Shares(msgspec.Struct, frozen=True, kw_only=True):
    """Who gets what of a price, in basis points; the operator gets the remainder. The royalty of 500 bps goes to the
    operator as long as no template or image has an author to pay."""

    treasury_bps: int = 1000
    incentive_bps: int = 400
    stakers_bps: int = 100

    @classmethod
    def of(cls, row: Any) -> Shares:
        """From a row of jobs."""
        return cls(treasury_bps=row["treasury_bps"], incentive_bps=row["incentive_bps"], stakers_bps=row["stakers_bps"])

    @property
    def operator_bps(self) -> int:
        """What is left for the operator."""
        return money.BPS - self.treasury_bps - self.incentive_bps - self.stakers_bps


SHARES: Final = Shares()
"""As long as no vote has changed them."""


def split(amount: int, shares: Shares = SHARES) -> Split:
    """Split an accepted price. Every part is floored; the operator gets the remainder, so the sum is exact."""
    treasury = money.share(amount, shares.treasury_bps)
    incentive = money.share(amount, shares.incentive_bps)
    stakers = money.share(amount, shares.stakers_bps)
    operator = amount - treasury - incentive - stakers
    if operator * money.BPS < amount * LEAST_OPERATOR_BPS or amount < 0:
        raise InvariantViolated(f"a split of {amount} leaves the operator {operator}")
    return Split(price=amount, operator=operator, treasury=treasury, incentive=incentive, stakers=stakers)


class AccountView(msgspec.Struct, frozen=True):
    """A project's accounts, in µHYPER."""

    project_id: str
    project: str
    available: int
    escrow: int
    earned: int
    """All that this project's nodes were ever paid."""
    spent: int
    """All that this project's jobs ever cost."""


class StatementLine(msgspec.Struct, frozen=True, kw_only=True):
    """One movement of the project's available or escrow account. `amount` is signed: what the account gained."""

    id: str
    at: str
    account: AccountKind
    cause: Cause
    amount: int
    balance: int
    """Balance of that account after this movement."""
    job_id: str | None
    task: int | None
    epoch: int | None


class StatementPage(msgspec.Struct, frozen=True):
    """One page of a statement, newest first; `next` continues after it."""

    items: list[StatementLine]
    next: str | None


class DepositRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Money for a project, by the local admin."""

    amount: Annotated[int, Meta(ge=1, le=limits.MICRO_HYPER, extra={"unit": "micro_hyper"})]


class LedgerSummary(msgspec.Struct, frozen=True):
    """The whole ledger at one moment: balances by kind, and whether it adds up."""

    balances: dict[str, int]
    total: int
    """Sum of all balances; always zero."""
    transfers: int
    settlements: int
    consistent: bool
    """Whether every balance equals the sum of its account's transfers."""


class ReceiptPage(msgspec.Struct, frozen=True):
    """Receipts of a job in order of task and epoch; `next` continues after them."""

    items: list[Receipt]
    next: str | None
