"""Locked HYPER and its weight

Made by `make programs` from `programs/staking/program.toml`; change that.
"""

# fmt: off
from __future__ import annotations

from typing import ClassVar, Literal

import msgspec

from hypernode.chain.programs.bundle import Name
from hypernode.chain.programs.calls import Call, Key, Record

StakeState = Literal["Withdrawn", "Active", "Unstaking"]


class Parameters(msgspec.Struct, frozen=True, kw_only=True):
    """What governance may change, within bounds: days from 14 to 365, and the least amount of a stake in µHYPER."""

    least_amount: int
    shortest_days: int
    longest_days: int
    padding: bytes = bytes(4)


class Pool(Record, frozen=True, kw_only=True):
    """The sums of all stakes, with the weight before the slot it last changed in, and who else has a say."""

    of: ClassVar[Name] = "staking"

    authority: str
    slasher: str
    slashed: str
    rewards: str
    rewards_pool: str
    mint: str
    vault: str
    amount: int
    weight: int
    weight_slot: int
    previous_weight: int
    parameters: Parameters
    bump: int
    padding: bytes = bytes(7)


class Stake(Record, frozen=True, kw_only=True):
    """One stake. `earned` is settled up to `snapshot`; the last two weights are kept with the slots they began in."""

    of: ClassVar[Name] = "staking"

    owner: str
    id: int
    amount: int
    weight: int
    weight_slot: int
    previous_weight: int
    previous_slot: int
    earned: int
    snapshot: int
    locked_at: int
    free_at: int
    days: int
    reports: int
    state: StakeState
    bump: int
    padding: bytes = bytes(2)


class Staked(msgspec.Struct, frozen=True, kw_only=True):
    stake: str
    owner: str
    amount: int
    weight: int
    total_weight: int


class Slashed(msgspec.Struct, frozen=True, kw_only=True):
    stake: str
    amount: int
    left: int


def initialize(*, authority: Key, slasher: Key, rewards: Key, rewards_pool: Key, parameters: Parameters) -> Call:
    """Sets the program up."""
    return Call("staking", "initialize", {
        "authority": authority, "slasher": slasher, "rewards": rewards, "rewards_pool": rewards_pool,
        "parameters": parameters,
    })


def set_parameters(*, parameters: Parameters) -> Call:
    """Changes the parameters for later stakes."""
    return Call("staking", "set_parameters", {"parameters": parameters})


def open(*, owner: Key, id: int) -> Call:
    """Makes an owner's empty stake."""
    return Call("staking", "open", {"owner": owner, "id": id})


def stake(*, amount: int, days: int) -> Call:
    """Locks tokens for some days; rewards that have come in must have been distributed first."""
    return Call("staking", "stake", {"amount": amount, "days": days})


def add(*, amount: int) -> Call:
    """Adds tokens to an active stake, for the same lock."""
    return Call("staking", "add", {"amount": amount})


def unstake() -> Call:
    """Ends a stake, also one under report: its weight is 0 at once, its tokens are free after a cooldown as long as
    the lock and once no report is open.
    """
    return Call("staking", "unstake", {})


def withdraw() -> Call:
    """Gives the tokens of an ended stake back after its cooldown."""
    return Call("staking", "withdraw", {})


def freeze() -> Call:
    """A report was made: the stake stays where it is until the report ends. A stake whose cooldown is over cannot be
    reported any more.
    """
    return Call("staking", "freeze", {})


def release() -> Call:
    """A report ended without a finding."""
    return Call("staking", "release", {})


def slash(*, bps: int) -> Call:
    """A report ended with a finding: a part of the stake leaves, and the report is over."""
    return Call("staking", "slash", {"bps": bps})
