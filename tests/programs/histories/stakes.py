"""Stakes and what they earn."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import rule

from programs.model import rewards, staking
from programs.model.refusal import require
from programs.world import DAY, HYPER

from .base import WHO, Worlds
from .state import PEOPLE, State, person, purse

AMOUNTS = st.sampled_from(
    [1, HYPER - 1, HYPER, 99 * HYPER, 100 * HYPER, 1_000 * HYPER, 10_000 * HYPER, 12_345_678_901, 2_000_000 * HYPER]
)
DAYS = st.sampled_from([13, 14, 14, 30, 90, 180, 365, 366])


class Stakes(Worlds):
    """Stakes and what they earn."""

    @rule(who=WHO, amount=AMOUNTS, days=DAYS)
    def stake(self, who: int, amount: int, days: int) -> None:
        self.stake_in(self.likely(who, lambda each: each.state == staking.StakeState.WITHDRAWN), amount, days)

    def stake_in(self, who: int, amount: int, days: int) -> None:
        each = self.operators[who]
        before = self.distribution()

        def model(state: State) -> None:
            self.distribute_first(state)
            undistributed = state.undistributed
            state.pool, state.stakes[who] = staking.stake_tokens(
                state.pool, state.stakes[who], state.staking, amount, days, state.rewards.accumulator, self.height
            )
            require(not undistributed, "Undistributed")
            state.move(purse(who), "staking", amount)

        self.act(
            model,
            lambda: self.network.stake(each.owner, each.tokens, amount, days, self.id_of(who), before),
            lambda room: room.stake(who, amount, days),
        )

    @rule(who=WHO, amount=AMOUNTS)
    def add(self, who: int, amount: int) -> None:
        who = self.likely(who, lambda each: each.state == staking.StakeState.ACTIVE)
        each = self.operators[who]
        before = self.distribution()

        def model(state: State) -> None:
            self.distribute_first(state)
            undistributed = state.undistributed
            state.pool, state.stakes[who] = staking.add_tokens(
                state.pool, state.stakes[who], amount, state.rewards.accumulator, self.height
            )
            require(not undistributed, "Undistributed")
            state.move(purse(who), "staking", amount)

        self.act(
            model,
            lambda: self.world.send(
                "staking", "add", each.owner, before=before, owner=each.owner.pubkey(), stake=each.stake,
                source=each.tokens, amount=amount,
            ),
            lambda room: room.add(who, amount),
            stake=who,
        )  # fmt: skip

    @rule(who=WHO)
    def unstake(self, who: int) -> None:
        self.unstake_of(self.likely(who, lambda each: each.state == staking.StakeState.ACTIVE))

    def unstake_of(self, who: int) -> None:
        each = self.operators[who]
        before = self.distribution()

        def model(state: State) -> None:
            self.distribute_first(state)
            state.pool, state.stakes[who] = staking.unstake(
                state.pool, state.stakes[who], self.now, state.rewards.accumulator, self.height
            )

        self.act(
            model,
            lambda: self.network.unstake(each.owner, each.stake, before),
            lambda room: room.unstake(who),
            stake=who,
        )

    @rule(who=WHO)
    def withdraw(self, who: int) -> None:
        self.withdraw_of(self.likely(who, lambda each: each.state == staking.StakeState.UNSTAKING))

    def withdraw_of(self, who: int) -> None:
        each = self.operators[who]

        def model(state: State) -> None:
            state.pool, state.stakes[who], amount = staking.withdraw(state.pool, state.stakes[who], self.now)
            state.move("staking", purse(who), amount)

        self.act(
            model,
            lambda: self.network.withdraw(each.owner, each.stake, each.tokens),
            lambda room: room.withdraw(who),
            stake=who,
        )

    @rule(who=WHO, again=st.booleans())
    def leave(self, who: int, again: bool) -> None:
        """Somebody ends a stake and waits until it is free, perhaps to stake anew."""
        who = self.likely(who, lambda each: each.state == staking.StakeState.ACTIVE and not each.reports)
        self.unstake_of(who)
        self.world.wait(self.state.stakes[who].days * DAY - 1)
        self.withdraw_of(who)
        self.world.wait(1)
        self.withdraw_of(who)
        if again:
            self.stake_in(who, 10_000 * HYPER, 30)

    @rule(who=WHO, amount=st.sampled_from([0, 1, 3, 999_999_999_937, 12_345 * HYPER]))
    def reward(self, who: int, amount: int) -> None:
        """Somebody gives stakers tokens; they are distributed before the next change of a weight."""
        self.give(who % PEOPLE, amount)

    def give(self, who: int, amount: int) -> None:
        each = self.operators[who]
        self.act(
            lambda state: state.move(person(who), "rewards", amount),
            lambda: self.world.pay(each.tokens, each.owner, self.world.named["rewards_vault"], amount),
            lambda room: room.reward(who, amount),
        )

    @rule()
    def distribute(self) -> None:
        self.act(
            lambda state: state.distribute(),
            lambda: self.world.send("rewards", "distribute"),
            lambda room: room.distribute(),
        )

    @rule(who=WHO)
    def claim(self, who: int) -> None:
        who = self.likely(who, lambda each: each.weight > 0)
        each = self.operators[who]
        before = self.distribution()

        def model(state: State) -> None:
            self.distribute_first(state)
            state.rewards, amount = rewards.claim(state.rewards, state.stakes[who], state.claimed[who])
            state.claimed[who] += amount
            state.move("rewards", purse(who), amount)

        self.act(
            model,
            lambda: self.network.claim(each.stake, each.tokens, before),
            lambda room: room.claim(who),
            stake=who,
        )
