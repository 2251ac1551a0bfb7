"""Burns and the supply, as they are asked for and shown."""

from __future__ import annotations

import msgspec

from hypernode.governance.views.fields import Amount, Reference


class BurnRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The project's own HYPER, to be burned for ever. `reference` says why."""

    amount: Amount
    reference: Reference = ""


class BurnView(msgspec.Struct, frozen=True, kw_only=True):
    """One burn, and how much had been burned with it. `cycle` is how many unlocks there had been."""

    index: int
    at: str
    cycle: int
    amount: int
    cumulative: int
    reference: str


class BurnPage(msgspec.Struct, frozen=True):
    """Burns, newest first; `next` continues after them."""

    items: list[BurnView]
    next: str | None


class UnlockView(msgspec.Struct, frozen=True, kw_only=True):
    """One unlock. The parts sum to the amount."""

    cycle: int
    at: str
    amount: int
    burned: int
    stakers: int
    operations: int


class SupplyView(msgspec.Struct, frozen=True, kw_only=True):
    """All HYPER of this ledger: what was issued, less what was burned, is what all other accounts hold together."""

    issued: int
    burned: int
    supply: int
    most: int
    """What there can ever be."""
    balances: dict[str, int]
    """What is held, by kind of account; the sum is `supply`."""
    locked: int
    """What has not been unlocked yet."""
    next_unlock_at: str | None
    unlocks: list[UnlockView]
