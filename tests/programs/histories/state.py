"""The model's world: what the chain should hold after each step."""

from __future__ import annotations

from programs.model import escrow, proposals, rewards, slashing, staking, unlock
from programs.model.refusal import require
from programs.world import HYPER, START

PEOPLE = 9
FUNDS = 3_000_000 * HYPER
VAULTS = {
    "staking": "staking_vault", "rewards": "rewards_vault", "slashing": "slashing.vault", "treasury": "treasury",
    "incentive": "incentive", "collection": "collection", "market": "markets.vault", "vesting": "token.vault",
    "operations": "operations",
}  # fmt: skip


class State:
    """The model's whole world: balances by name, and the records of every rule."""

    def __init__(self) -> None:
        self.balances: dict[str, int] = dict.fromkeys(VAULTS, 0) | {f"person {n}": FUNDS for n in range(PEOPLE)}
        self.balances["vesting"] = unlock.LOCKED
        self.burned = 0
        self.pool = staking.Pool()
        self.stakes = [staking.Stake() for _ in range(PEOPLE)]
        self.rewards = rewards.Rewards()
        self.claimed = [0] * PEOPLE
        self.seen_at = [START] * PEOPLE
        self.running = [0] * PEOPLE
        self.cases: list[slashing.Case] = []
        self.accused: list[int] = []
        self.proposals: list[proposals.Proposal] = []
        self.voted: set[tuple[int, int]] = set()
        self.jobs: list[escrow.Job] = []
        self.due = {"treasury": 0, "incentive": 0, "stakers": 0}
        self.cycles = 0

    def move(self, source: str, to: str, amount: int) -> None:
        require(self.balances[source] >= amount, "InsufficientFunds")
        self.balances[source] -= amount
        self.balances[to] += amount

    def distributed(self) -> None:
        waiting = self.balances["rewards"] - self.rewards.held
        require(self.pool.weight == 0 or waiting * staking.SCALE < self.pool.weight, "Undistributed")

    def pay(self, job: escrow.Job, payment: escrow.Payment) -> None:
        if payment.operator:
            self.move("market", f"person {job.operator}", payment.operator)
        self.move("market", f"person {job.client}", payment.client)
        for name in self.due:
            self.due[name] += getattr(payment, name)
        if job.state == escrow.JobState.CLOSED and job.operator >= 0:
            self.running[job.operator] -= 1
