"""Reports, from the bond to the slash."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from programs.model import slashing, staking
from programs.model.refusal import Refusal
from programs.model.slashing import CaseState
from programs.world import DAY, HYPER

from .base import ANY, WHO
from .embedded import Embedded
from .panels import VOTES, Panels
from .refusals import OF_CASES
from .state import State, purse

EVIDENCE = b"e" * 32
KINDS = st.sampled_from(list(slashing.Kind))


class Reports(Panels):
    """Reports, from the bond to the slash."""

    def set_up(self) -> None:
        super().set_up()
        self.closed_at: dict[int, int] = {}
        """When the last round of a case was closed."""

    @precondition(lambda self: len(self.cases) < 6)
    @rule(who=WHO, accused=WHO, kind=KINDS)
    def report(self, who: int, accused: int, kind: slashing.Kind) -> None:
        who = self.likely(who, lambda each: each.amount < 10_000 * HYPER)
        accused = self.likely(accused, lambda each: each.amount > 0)
        reporter, suspect = self.operators[who], self.operators[accused]
        number = len(self.cases)
        address = self.world.address("slashing", "case", reporter.owner.pubkey(), number)

        def model(state: State) -> None:
            bond = state.slashing.bond
            state.move(purse(who), "slashing", bond)
            state.stakes[accused] = staking.freeze(state.stakes[accused], self.now)
            state.cases.append(
                slashing.Case(
                    bytes(address), bytes(reporter.owner.pubkey()), bytes(suspect.owner.pubkey()), kind,
                    state.slashing, bond, self.height, self.height + slashing.SEED_DELAY,
                )
            )  # fmt: skip
            state.accused.append(accused)
            state.reporters.append(who)

        done = self.act(
            model,
            lambda: self.network.report(reporter.owner, reporter.tokens, suspect.stake, kind.value, number),
            lambda room: room.report(who, accused, kind.value, EVIDENCE),
            stake=accused,
            instead=self.reasons_before_a_bond(accused),
        )
        if done:
            self.cases.append(address)

    def reasons_before_a_bond(self, accused: int) -> Mapping[str, str] | None:
        """On chain the bond is taken before the stake is frozen; the room looks at the stake before the money."""
        try:
            staking.freeze(self.state.stakes[accused], self.now)
        except Refusal as refusal:
            return {"InsufficientFunds": refusal.name}
        return None

    def case_in(self, case: int, *likely: str) -> int:
        """Mostly a case in one of these states."""
        those = [index for index, each in enumerate(self.state.cases) if each.state.name in likely]
        return those[case % len(those)] if those and case % 5 else case % len(self.cases)

    @precondition(lambda self: self.cases)
    @rule(case=ANY, votes=VOTES, counted=st.booleans())
    def judge(self, case: int, votes: list[bool | str | None], counted: bool) -> None:
        """A whole round, if the case waits for one; perhaps the votes are counted later."""
        self.judge_case(self.case_in(case, "WAITING"), votes, counted)

    def judge_case(self, number: int, votes: list[bool | str | None], counted: bool = True) -> None:
        if self.state.cases[number].state != CaseState.WAITING or self.is_left_alone(number):
            return
        if not self.hold_round(number, votes):
            self.close_round(number)
            return
        self.world.wait(DAY - 1)
        self.close_round(number)
        self.world.wait(1)
        if counted:
            self.close_round(number)

    @precondition(lambda self: self.cases)
    @rule(case=ANY)
    def close(self, case: int) -> None:
        self.close_round(self.case_in(case, "VOTING"))

    def close_round(self, number: int) -> None:
        if self.is_left_alone(number):
            return

        def model(state: State) -> None:
            after = slashing.close_round(state.cases[number], self.now, self.height)
            state.cases[number] = after
            if after.state in (CaseState.DISMISSED, CaseState.OVERTURNED):
                accused = state.accused[number]
                state.move("slashing", "treasury", after.bond)
                state.stakes[accused] = staking.release(state.stakes[accused])

        room = self.advance_of(number, CaseState.VOTING)
        if self.act(model, lambda: self.network.close_round(self.cases[number]), room, codes=OF_CASES):
            self.closed_at[number] = self.now

    def advance_of(self, number: int, *states: CaseState) -> Callable[[Embedded], object] | None:
        """The room has one act for all that time brings to a case. It is not asked where that would be another than
        the one meant, which is for cases in these states."""
        state = self.state.cases[number].state
        other = state in (CaseState.WAITING, CaseState.VOTING, CaseState.CONFIRMED, CaseState.UPHELD)
        return None if other and state not in states else lambda room: room.advance(number)

    @precondition(lambda self: self.cases)
    @rule(case=ANY)
    def appeal(self, case: int) -> None:
        self.appeal_case(self.case_in(case, "CONFIRMED"))

    def appeal_case(self, number: int) -> None:
        accused = self.state.accused[number]
        owner = self.operators[accused].owner
        self.step(
            number,
            lambda case: slashing.appeal(case, self.now, self.height),
            lambda: self.world.send("slashing", "appeal", owner, accused=owner.pubkey(), case=self.cases[number]),
            lambda room: room.appeal(number, accused),
        )

    @precondition(lambda self: self.cases)
    @rule(case=ANY)
    def execute_case(self, case: int) -> None:
        self.execute(self.case_in(case, "CONFIRMED", "UPHELD"))

    def execute(self, number: int) -> None:
        """Slash. In the room what is to be burned is burned in the same act; beside a room the same follows on chain at
        once."""
        reporter = self.state.reporters[number]
        before = self.distribution()

        def model(state: State) -> None:
            self.distribute_first(state)
            case = slashing.execute(state.cases[number], self.now)
            state.cases[number] = case
            accused = state.accused[number]
            state.pool, state.stakes[accused], taken = staking.slash(
                state.pool, state.stakes[accused], case.bps, state.rewards.accumulator, self.height
            )
            state.move("staking", "slashing", taken)
            parts = slashing.split(taken)
            state.move("slashing", purse(reporter), parts.reward + case.bond)
            state.move("slashing", "collection", parts.burned)
            state.move("slashing", "treasury", parts.treasury)
            if self.embedded is not None and state.balances["collection"]:
                state.burn("collection", state.balances["collection"])

        def chain() -> None:
            self.network.execute_case(self.cases[number], self.operators[reporter].tokens, before)
            if self.embedded is not None and self.world.balance(self.world.named["collection"]):
                self.burn_what_was_collected()

        room = self.advance_of(number, CaseState.CONFIRMED, CaseState.UPHELD)
        self.act(model, chain, room, codes=OF_CASES)

    def burn_what_was_collected(self) -> None:
        payer, id = self.world.payer, self.world.random.getrandbits(64)
        self.world.send("token", "burn_collection", payer, payer=payer.pubkey(), id=id)

    @precondition(lambda self: len(self.cases) < 6)
    @rule(who=WHO, accused=WHO, kind=KINDS, rounds=st.lists(VOTES, min_size=1, max_size=2),
          patience=st.sampled_from([0, 7 * DAY, 7 * DAY + 1]))  # fmt: skip
    def trial(
        self, who: int, accused: int, kind: slashing.Kind, rounds: list[list[bool | str | None]], patience: int
    ) -> None:
        """A report, judged once or twice, to its end; appealed at once, at the last moment, or after it."""
        number = len(self.cases)
        self.report(who, accused, kind)
        if len(self.cases) == number:
            return
        for votes in rounds:
            if votes is not rounds[0]:
                self.world.wait(patience)
                self.appeal_case(number)
            self.judge_case(number, votes)
        self.world.wait(7 * DAY)
        self.execute(number)
        self.world.wait(1)
        self.execute(number)
