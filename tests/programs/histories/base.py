"""What all steps share: the two worlds, doing a thing in both, and what is equal after it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant
from solders.token import ID as TOKEN

from programs.coder import idl
from programs.model import staking, unlock
from programs.model.refusal import Refusal
from programs.network import ALL, Job, Network, Operator
from programs.world import Refused, World

from .state import FUNDS, PEOPLE, VAULTS, State

WHO = st.integers(0, 99)
"""Somebody; which one, the step decides."""
ANY = st.integers(0, 99)
"""One of several things there are."""


class Both(RuleBasedStateMachine):
    """The model's world and the chain's, with the same people."""

    def set_up(self) -> None:
        self.state = State()
        self.network = Network(ALL)
        self.world = world = self.network.world
        world.slots_a_second = 0  # one slot a wait, so that a round can be drawn long after it was asked for
        self.operators: list[Operator] = []
        for _ in range(PEOPLE):
            owner, key = world.person(), world.person()
            tokens = world.tokens(owner.pubkey(), FUNDS)
            payer = {"payer": world.payer.pubkey()}
            world.send("staking", "open", world.payer, owner=owner.pubkey(), id=0, **payer)
            stake = world.address("staking", "stake", owner.pubkey(), 0)
            world.send("nodes", "register", owner, key, owner=owner.pubkey(), key=key.pubkey(), capability=bytes(32))
            world.send("markets", "open_capacity", world.payer, stake=stake, **payer)
            world.send("rewards", "register", world.payer, stake=stake, **payer)
            node, capacity = (
                world.address("nodes", "node", key.pubkey()),
                world.address("markets", "capacity", stake),
            )
            self.operators.append(Operator(owner, key, tokens, stake, node, capacity))
        self.network.market()
        self.jobs: list[Job] = []
        self.cases: list[Any] = []
        self.proposals: list[Any] = []
        self.registered = world.slot

    def both(self, model: Callable[[State], object], chain: Callable[[], object]) -> bool:
        """Do it in the model and on chain; they must say the same. Returns whether it was done."""
        trial = copy.copy(self.state)
        trial.__dict__ = {name: copy.copy(value) for name, value in self.state.__dict__.items()}
        expected = actual = None
        try:
            model(trial)
        except Refusal as refusal:
            expected = refusal.name
        try:
            chain()
        except Refused as refused:
            actual = _name(self.world, refused)
        assert expected == actual, f"the model says {expected or 'yes'}, the chain {actual or 'yes'}"
        if expected is None:
            self.state = trial
        return expected is None

    def likely(self, who: int, suitable: Callable[[staking.Stake], bool]) -> int:
        """Mostly somebody whose stake suits, so that histories go deep; now and then somebody else."""
        those = [index for index, each in enumerate(self.state.stakes) if suitable(each)]
        return those[who % len(those)] if those and who % 5 else who % PEOPLE

    @property
    def now(self) -> int:
        return self.world.time

    @property
    def height(self) -> int:
        return self.world.slot

    @invariant()
    def balances_are_equal(self) -> None:
        if not hasattr(self, "operators") or len(self.operators) < PEOPLE:
            return
        chain = {name: self.world.balance(self.world.named[label]) for name, label in VAULTS.items()}
        chain |= {f"person {number}": self.world.balance(each.tokens) for number, each in enumerate(self.operators)}
        assert chain == self.state.balances
        assert self.world.supply() == unlock.SUPPLY - self.state.burned

    @invariant()
    def records_are_equal(self) -> None:
        if not hasattr(self, "operators") or len(self.operators) < PEOPLE:
            return
        pool = self.world.record("staking", "Pool", self.world.named["staking_pool"])
        for name in ("amount", "weight", "previous_weight"):
            assert pool[name] == getattr(self.state.pool, name)
        held = self.world.record("rewards", "Pool", self.world.named["rewards_pool"])
        for name in ("accumulator", "held", "distributed", "paid"):
            assert held[name] == getattr(self.state.rewards, name)
        for each, stake in zip(self.operators, self.state.stakes, strict=True):
            record = self.world.record("staking", "Stake", each.stake)
            names = ("amount", "weight", "previous_weight", "earned", "snapshot", "reports", "state")
            assert {name: record[name] for name in names} == {name: getattr(stake, name) for name in names}
        for address, case in zip(self.cases, self.state.cases, strict=True):
            assert self.world.record("slashing", "Case", address)["state"] == case.state
        for (address, _), proposal in zip(self.proposals, self.state.proposals, strict=True):
            record = self.world.record("governance", "Proposal", address)
            columns = ("state", "votes_for", "votes_against", "votes_abstain", "total_weight")
            assert {name: record[name] for name in columns} == {name: getattr(proposal, name) for name in columns}


def _name(world: World, refused: Refused) -> str:
    """The error's name, by the program that failed first, which may be one that the called one called; the token
    program's own 1 says that funds do not suffice."""
    failed = next(line.split()[1] for line in refused.logs if " failed: " in line)
    name = next((name for name, key in world.ids.items() if str(key) == failed), None)
    if name is None:
        assert (failed, refused.code) == (str(TOKEN), 1), str(refused)
        return "InsufficientFunds"
    return str(idl(name).errors[refused.code or 0]["name"])
