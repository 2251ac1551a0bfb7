"""Stakes, rewards, the unlock, burns."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from programs.model import rewards, staking, unlock
from programs.model.refusal import require
from programs.world import DAY, HYPER, START

from .base import WHO, Both
from .state import PEOPLE, State

AMOUNTS = st.sampled_from(
    [1, HYPER - 1, HYPER, 99 * HYPER, 100 * HYPER, 1_000 * HYPER, 10_000 * HYPER, 2_000_000 * HYPER]
)
DAYS = st.sampled_from([13, 14, 14, 30, 90, 180, 365, 366])


class Stakes(Both):
    """Stakes, rewards, the unlock, burns."""

    @rule(who=WHO, amount=AMOUNTS, days=DAYS)
    def stake(self, who: int, amount: int, days: int) -> None:
        who = self.likely(who, lambda each: each.state == staking.StakeState.WITHDRAWN)

        def model(state: State) -> None:
            state.pool, state.stakes[who] = staking.stake_tokens(
                state.pool,
                state.stakes[who],
                staking.Parameters(),
                amount,
                days,
                state.rewards.accumulator,
                self.height,
            )
            self.state.distributed()
            state.move(f"person {who}", "staking", amount)

        each = self.operators[who]
        self.both(model, lambda: self.network.stake(each.owner, each.tokens, amount, days))

    @rule(who=WHO, amount=AMOUNTS)
    def add(self, who: int, amount: int) -> None:
        who = self.likely(who, lambda each: each.state == staking.StakeState.ACTIVE)

        def model(state: State) -> None:
            state.pool, state.stakes[who] = staking.add_tokens(
                state.pool, state.stakes[who], amount, state.rewards.accumulator, self.height
            )
            self.state.distributed()
            state.move(f"person {who}", "staking", amount)

        each = self.operators[who]
        self.both(model,
            lambda: self.world.send(
                "staking", "add", each.owner, owner=each.owner.pubkey(), stake=each.stake, source=each.tokens,
                amount=amount,
            ),
        )  # fmt: skip

    @rule(who=WHO)
    def unstake(self, who: int) -> None:
        who = self.likely(who, lambda each: each.state == staking.StakeState.ACTIVE)

        def model(state: State) -> None:
            state.pool, state.stakes[who] = staking.unstake(
                state.pool, state.stakes[who], self.now, state.rewards.accumulator, self.height
            )

        each = self.operators[who]
        self.both(model, lambda: self.network.unstake(each.owner, each.stake))

    @rule(who=WHO)
    def withdraw(self, who: int) -> None:
        who = self.likely(who, lambda each: each.state == staking.StakeState.UNSTAKING)

        def model(state: State) -> None:
            state.pool, state.stakes[who], amount = staking.withdraw(state.pool, state.stakes[who], self.now)
            state.move("staking", f"person {who}", amount)

        each = self.operators[who]
        self.both(model, lambda: self.network.withdraw(each.owner, each.stake, each.tokens))

    @rule(who=WHO, amount=st.sampled_from([0, 1, 3, 999_999_999_937, 12_345 * HYPER]))
    def reward(self, who: int, amount: int) -> None:
        """Somebody sends tokens to the pool; they are distributed when the next one does."""
        who %= PEOPLE
        each = self.operators[who]
        if self.state.balances[f"person {who}"] >= amount:
            self.world.pay(each.tokens, each.owner, self.world.named["rewards_vault"], amount)
            self.state.move(f"person {who}", "rewards", amount)

    @rule()
    def distribute(self) -> None:
        def model(state: State) -> None:
            state.rewards = rewards.distribute(state.rewards, state.balances["rewards"], state.pool.weight)

        self.both(model, lambda: self.world.send("rewards", "distribute"))

    @rule(who=WHO)
    def claim(self, who: int) -> None:
        who = self.likely(who, lambda each: each.weight > 0)

        def model(state: State) -> None:
            state.rewards, amount = rewards.claim(state.rewards, state.stakes[who], state.claimed[who])
            state.claimed[who] += amount
            state.move("rewards", f"person {who}", amount)

        each = self.operators[who]
        self.both(model, lambda: self.network.claim(each.stake, each.tokens))

    @precondition(lambda self: self.now >= START + (self.state.cycles + 1) * 30 * DAY or self.now % 7 == 0)
    @rule()
    def unlock(self) -> None:
        def model(state: State) -> None:
            due = unlock.unlock(state.cycles, START + 30 * DAY, self.now)
            state.cycles += 1
            state.move("vesting", "rewards", due.stakers)
            state.move("vesting", "operations", due.operations)
            state.balances["vesting"] -= due.burned
            state.burned += due.burned

        payer = self.world.payer
        cycle = self.state.cycles
        self.both(model,
            lambda: self.world.send("token", "unlock", payer, payer=payer.pubkey(), cycle=cycle),
        )  # fmt: skip

    @precondition(lambda self: self.state.balances["collection"] or self.now % 7 == 0)
    @rule()
    def burn_collection(self) -> None:
        def model(state: State) -> None:
            require(state.balances["collection"] > 0, "NothingToBurn")
            state.burned += state.balances["collection"]
            state.balances["collection"] = 0

        payer = self.world.payer
        id = self.world.random.getrandbits(64)
        self.both(model, lambda: self.world.send("token", "burn_collection", payer, payer=payer.pubkey(), id=id))
