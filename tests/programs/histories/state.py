"""The model's world: what the others should hold after each step."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from programs.model import escrow, proposals, rewards, slashing, staking, unlock
from programs.model.refusal import require
from programs.world import HYPER, START

if TYPE_CHECKING:
    from .effects import Effect

PEOPLE = 16
"""Enough for a first panel of ten and another for the appeal."""
OWNERS = (*range(PEOPLE), 0, 1)
"""Whose each stake is: everybody has one, two have another."""
FUNDS = 3_000_000 * HYPER
TREASURY = 6_000 * HYPER
"""What there is to be spent from the beginning."""
VAULTS = {
    "staking": "staking_vault", "rewards": "rewards_vault", "slashing": "slashing.vault", "treasury": "treasury",
    "incentive": "incentive", "collection": "collection", "market": "markets.vault", "vesting": "token.vault",
    "operations": "operations",
}  # fmt: skip


class State:
    """The model's whole world: balances by name, and the records of every rule."""

    def __init__(self) -> None:
        self.balances: dict[str, int] = dict.fromkeys(VAULTS, 0) | {person(number): FUNDS for number in range(PEOPLE)}
        self.balances |= {"vesting": unlock.LOCKED, "treasury": TREASURY}
        self.burned = 0
        self.burns = 0
        self.staking = staking.Parameters()
        self.slashing = slashing.Parameters()
        self.voting = proposals.Parameters()
        self.split = escrow.Split()
        self.pool = staking.Pool()
        self.stakes = [staking.Stake() for _ in OWNERS]
        self.rewards = rewards.Rewards()
        self.claimed = [0 for _ in OWNERS]
        self.seen_at = [START for _ in OWNERS]
        self.running = [0 for _ in OWNERS]
        self.cases: list[slashing.Case] = []
        self.accused: list[int] = []
        self.reporters: list[int] = []
        self.proposals: list[proposals.Proposal] = []
        self.effects: list[Effect] = []
        self.voted: set[tuple[int, int]] = set()
        self.jobs: list[escrow.Job] = []
        self.due = {"treasury": 0, "incentive": 0, "stakers": 0}
        self.cycles = 0

    def copy(self) -> State:
        """A state that can be changed without this one."""
        other = copy.copy(self)
        other.__dict__ = {name: copy.copy(value) for name, value in self.__dict__.items()}
        return other

    def move(self, source: str, to: str, amount: int) -> None:
        require(self.balances[source] >= amount, "InsufficientFunds")
        self.balances[source] -= amount
        self.balances[to] += amount

    def burn(self, source: str, amount: int) -> None:
        require(self.balances[source] >= amount, "InsufficientFunds")
        self.balances[source] -= amount
        self.burned += amount
        self.burns += 1

    @property
    def undistributed(self) -> bool:
        """Whether rewards wait that would be shared out among those who have weight."""
        waiting = self.balances["rewards"] - self.rewards.held
        return self.pool.weight > 0 and waiting * staking.SCALE >= self.pool.weight

    def distribute(self) -> None:
        self.rewards = rewards.distribute(self.rewards, self.balances["rewards"], self.pool.weight)

    def pay(self, job: escrow.Job, payment: escrow.Payment) -> None:
        if payment.operator:
            self.move("market", purse(job.operator), payment.operator)
        self.move("market", person(job.client), payment.client)
        for name in self.due:
            self.due[name] += getattr(payment, name)
        if job.state == escrow.JobState.CLOSED and job.operator >= 0:
            self.running[job.operator] -= 1

    def sweep(self) -> None:
        for name, to in (("treasury", "treasury"), ("incentive", "incentive"), ("stakers", "rewards")):
            self.move("market", to, self.due[name])
        self.due = dict.fromkeys(self.due, 0)

    def escrows(self) -> list[int]:
        """What is held for each client's jobs."""
        held = [0] * PEOPLE
        for job in self.jobs:
            if job.state != escrow.JobState.CLOSED:
                held[job.client] += job.deposit - job.paid + job.bond
        return held


def person(number: int) -> str:
    """The balance of a person."""
    return f"person {number}"


def purse(stake: int) -> str:
    """The balance of whose a stake is."""
    return person(OWNERS[stake])
