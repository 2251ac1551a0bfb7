"""Reports, from the bond to the slash."""

from __future__ import annotations

import struct
from collections.abc import Callable

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from solders.hash import Hash

from programs.model import slashing, staking
from programs.network import Operator
from programs.world import DAY, HYPER

from .base import ANY, WHO, Both
from .state import PEOPLE, State


class Reports(Both):
    """Reports, from the bond to the slash."""

    @precondition(lambda self: len(self.cases) < 4)
    @rule(who=WHO, accused=WHO, kind=st.sampled_from(list(slashing.Kind)))
    def report(self, who: int, accused: int, kind: slashing.Kind) -> None:
        who = self.likely(who, lambda each: each.amount < 10_000 * HYPER)
        accused = self.likely(accused, lambda each: each.amount > 0)
        reporter, suspect = self.operators[who], self.operators[accused]
        number = len(self.cases)
        address = self.world.address("slashing", "case", reporter.owner.pubkey(), number)

        def model(state: State) -> None:
            state.move(f"person {who}", "slashing", 100 * HYPER)
            state.stakes[accused] = staking.freeze(state.stakes[accused], self.now)
            state.cases.append(
                slashing.Case(
                    bytes(address), bytes(reporter.owner.pubkey()), bytes(suspect.owner.pubkey()), kind,
                    slashing.Parameters(), 100 * HYPER, self.height, self.height + slashing.SEED_DELAY,
                )
            )  # fmt: skip
            state.accused.append(accused)

        done = self.both(model,
            lambda: self.network.report(reporter.owner, reporter.tokens, suspect.stake, kind.value, number),
        )  # fmt: skip
        if done:
            self.cases.append(address)

    def case_in(self, case: int, *likely: str) -> int:
        """Mostly a case in one of these states."""
        those = [index for index, each in enumerate(self.state.cases) if each.state.name in likely]
        return those[case % len(those)] if those and case % 5 else case % len(self.cases)

    @precondition(lambda self: self.cases)
    @rule(case=ANY, votes=st.lists(st.sampled_from([True, True, True, False, None]), min_size=PEOPLE, max_size=PEOPLE))
    def judge(self, case: int, votes: list[bool | None]) -> None:
        """A whole round, if the case waits for one."""
        number = self.case_in(case, "WAITING")
        if self.state.cases[number].state != slashing.CaseState.WAITING:
            return
        seed_slot = self.state.cases[number].seed_height
        if self.height <= seed_slot:
            self.world.wait(0, slots=seed_slot + 1 - self.height)
        chance = bytes(Hash(struct.pack("<Q", seed_slot) * 4))
        if not self.step(number, lambda each: slashing.draw(each, chance, self.now, self.height), "draw"):
            self.close_round(number)
            return
        for who, operator in enumerate(self.operators):
            validator = slashing.Validator(
                bytes(operator.owner.pubkey()), bytes(operator.key.pubkey()), bytes(operator.stake),
                self.state.stakes[who], 500, True, self.registered,
            )  # fmt: skip
            self.nominate(number, validator, operator)
        self.world.wait(DAY)
        for who, vote in enumerate(votes):
            if vote is not None:
                self.ballot(number, who, vote, shown=False)
        self.world.wait(DAY)
        for who, vote in enumerate(votes):
            if vote is not None:
                self.ballot(number, who, vote, shown=True)
        self.world.wait(DAY)
        self.close_round(number)

    def nominate(self, number: int, validator: slashing.Validator, operator: Operator) -> None:
        def model(state: State) -> None:
            state.cases[number] = slashing.nominate(state.cases[number], validator, self.now)

        self.both(model, lambda: self.network.nominate(self.cases[number], operator))

    def ballot(self, number: int, who: int, vote: bool, *, shown: bool) -> None:
        operator, address = self.operators[who], self.cases[number]
        node = bytes(operator.key.pubkey())

        def model(state: State) -> None:
            case = state.cases[number]
            if shown:
                self._set(state, number, slashing.reveal(case, node, vote, b"s" * 32, self.now))
            else:
                commitment = slashing.commitment_of(case, node, vote, b"s" * 32)
                self._set(state, number, slashing.commit(case, node, commitment, self.now))

        count = self.state.cases[number].round
        self.both(model,
            lambda: self.network.reveal(address, operator, vote) if shown
            else self.network.commit(address, operator, vote, count),
        )  # fmt: skip

    @staticmethod
    def _set(state: State, number: int, case: slashing.Case) -> None:
        state.cases[number] = case

    def step(self, number: int, model: Callable[[slashing.Case], slashing.Case], name: str) -> bool:
        address = self.cases[number]
        return self.both(
            lambda state: self._set(state, number, model(state.cases[number])),
            lambda: self.world.send("slashing", name, case=address),
        )

    @precondition(lambda self: self.cases)
    @rule(case=ANY)
    def close_round(self, case: int) -> None:
        number = case % len(self.cases)

        def model(state: State) -> None:
            after = slashing.close_round(state.cases[number], self.now, self.height)
            state.cases[number] = after
            if after.state in (slashing.CaseState.DISMISSED, slashing.CaseState.OVERTURNED):
                accused = state.accused[number]
                state.move("slashing", "treasury", after.bond)
                state.stakes[accused] = staking.release(state.stakes[accused])

        self.both(model, lambda: self.network.close_round(self.cases[number]))

    @precondition(lambda self: self.cases)
    @rule(case=ANY)
    def appeal(self, case: int) -> None:
        number = self.case_in(case, "CONFIRMED")
        owner = self.operators[self.state.accused[number]].owner
        self.both(
            lambda state: self._set(state, number, slashing.appeal(state.cases[number], self.now, self.height)),
            lambda: self.world.send("slashing", "appeal", owner, accused=owner.pubkey(), case=self.cases[number]),
        )

    @precondition(lambda self: self.cases)
    @rule(case=ANY)
    def execute_case(self, case: int) -> None:
        number = self.case_in(case, "CONFIRMED", "UPHELD")
        reporter = next(
            index for index, each in enumerate(self.operators)
            if bytes(each.owner.pubkey()) == self.state.cases[number].reporter
        )  # fmt: skip

        def model(state: State) -> None:
            case = slashing.execute(state.cases[number], self.now)
            state.cases[number] = case
            accused = state.accused[number]
            state.pool, state.stakes[accused], taken = staking.slash(
                state.pool, state.stakes[accused], case.bps, state.rewards.accumulator, self.height
            )
            state.move("staking", "slashing", taken)
            parts = slashing.split(taken)
            state.move("slashing", f"person {reporter}", parts.reward + case.bond)
            state.move("slashing", "collection", parts.burned)
            state.move("slashing", "treasury", parts.treasury)

        tokens = self.operators[reporter].tokens
        self.both(model, lambda: self.network.execute_case(self.cases[number], tokens))
