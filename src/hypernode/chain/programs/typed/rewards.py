"""The accumulator of rewards: what a stake has earned costs the same to know, however many stakes there are

Made by `make programs` from `programs/rewards/program.toml`; change that.
"""

# fmt: off
from __future__ import annotations

from typing import ClassVar

import msgspec

from hypernode.chain.programs.bundle import Name
from hypernode.chain.programs.calls import Call, Key, Record


class Pool(Record, frozen=True, kw_only=True):
    """`accumulator` is rewards per weight, times 10^12; `held` is what the vault holds that has been distributed and
    not claimed. `distributed` and `paid` are sums for the eye: they stop at the highest number, because tokens
    that go round would bring them there.
    """

    of: ClassVar[Name] = "rewards"

    mint: str
    vault: str
    staking: str
    staking_pool: str
    accumulator: int
    held: int
    distributed: int
    paid: int
    bump: int
    padding: bytes = bytes(7)


class Claim(Record, frozen=True, kw_only=True):
    """What was paid for a stake so far."""

    of: ClassVar[Name] = "rewards"

    stake: str
    claimed: int


class Distributed(msgspec.Struct, frozen=True, kw_only=True):
    amount: int
    total_weight: int
    accumulator: int


class Claimed(msgspec.Struct, frozen=True, kw_only=True):
    stake: str
    owner: str
    amount: int


def initialize(*, staking: Key, staking_pool: Key) -> Call:
    """Sets the program up; it takes no parameters, so it has no authority."""
    return Call("rewards", "initialize", {"staking": staking, "staking_pool": staking_pool})


def distribute() -> Call:
    """Gives what came into the vault to those who stake now; without any it waits."""
    return Call("rewards", "distribute", {})


def register() -> Call:
    """Makes the record of what is paid for a stake."""
    return Call("rewards", "register", {})


def claim() -> Call:
    """Pays what a stake earned and was not paid yet, to its owner."""
    return Call("rewards", "claim", {})
