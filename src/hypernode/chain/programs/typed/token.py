"""HYPER: the vesting vault with its monthly unlock, and the record of every burn

Made by `make programs` from `programs/token/program.toml`; change that.
"""

# fmt: off
from __future__ import annotations

from typing import ClassVar

import msgspec

from hypernode.chain.programs.bundle import Name
from hypernode.chain.programs.calls import Call, Key, Record


class Vesting(Record, frozen=True, kw_only=True):
    """What is locked, and where unlocked tokens go."""

    of: ClassVar[Name] = "token"

    authority: str
    mint: str
    vault: str
    collection: str
    stakers: str
    operations: str
    start: int
    cycles: int
    left: int
    bump: int
    padding: bytes = bytes(7)


class BurnLedger(Record, frozen=True, kw_only=True):
    """The sum of all burns."""

    of: ClassVar[Name] = "token"

    count: int
    cumulative: int


class Burn(Record, frozen=True, kw_only=True):
    """One burn, for ever: its number, which cycle, how much, how much in all, and why. Its address has no number, so
    that burns sent at once do not stop each other.
    """

    of: ClassVar[Name] = "token"

    index: int
    cycle: int
    amount: int
    cumulative: int
    reference: bytes
    time: int


class Unlocked(msgspec.Struct, frozen=True, kw_only=True):
    cycle: int
    amount: int
    burned: int
    stakers: int
    operations: int


class Burned(msgspec.Struct, frozen=True, kw_only=True):
    index: int
    cycle: int
    amount: int
    cumulative: int
    reference: bytes


def initialize(*, authority: Key, start: int) -> Call:
    """Sets the program up and locks the vesting tokens. The mint must be final: no mint and no freeze authority."""
    return Call("token", "initialize", {"authority": authority, "start": start})


def set_destinations() -> Call:
    """Changes where the staking and operations parts of later unlocks go."""
    return Call("token", "set_destinations", {})


def unlock(*, cycle: int) -> Call:
    """Unlocks the next due cycle: a fifth is burned, three tenths go to stakers, the remainder to operations."""
    return Call("token", "unlock", {"cycle": cycle})


def burn_tokens(*, id: int, amount: int, reference: bytes) -> Call:
    """Burns the holder's own tokens and records it, under an id of the holder's choice."""
    return Call("token", "burn_tokens", {"id": id, "amount": amount, "reference": reference})


def burn_collection(*, id: int) -> Call:
    """Burns what others sent to be burned, and records it, under an id of the payer's choice."""
    return Call("token", "burn_collection", {"id": id})
