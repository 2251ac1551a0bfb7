"""Reports, from the bond to the slash."""

from __future__ import annotations

import struct
from collections.abc import Callable
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from msgspec.structs import replace
from solders.hash import Hash

from hypernode.governance.views.cases import CaseView
from programs.model import slashing, staking
from programs.model.refusal import Refusal
from programs.model.slashing import CaseState
from programs.network import SALT
from programs.world import DAY, HYPER

from .base import ANY, WHO, Worlds
from .embedded import Embedded
from .refusals import OF_CASES
from .state import OWNERS, PEOPLE, State, purse

EVIDENCE = b"e" * 32
VOTES = st.lists(st.sampled_from([True, True, True, False, None, "lie"]), min_size=PEOPLE, max_size=PEOPLE)
"""What each person votes if it sits on the panel: for or against, not at all, or another vote than it committed to."""
KINDS = st.sampled_from(list(slashing.Kind))


class Reports(Worlds):
    """Reports, from the bond to the slash.

    A panel is drawn by each world from its own chance. On chain whoever is nominated within a day may sit; the room
    draws from all who may at once. So the room draws as it will a day later, those are nominated on chain whom it
    drew, and both vote at the same times. That each takes the lowest tickets is looked at by itself: in the room by
    drawing again with the model's rules, on chain in the machine without a room.
    """

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
            state.stakes[accused] = staking.freeze(state.stakes[accused])
            state.cases.append(
                slashing.Case(
                    bytes(address), bytes(reporter.owner.pubkey()), bytes(suspect.owner.pubkey()), kind,
                    state.slashing, bond, self.height,
                )
            )  # fmt: skip
            state.accused.append(accused)
            state.reporters.append(who)

        withdrawn = self.state.stakes[accused].state == staking.StakeState.WITHDRAWN
        done = self.act(
            model,
            lambda: self.network.report(reporter.owner, reporter.tokens, suspect.stake, kind.value, number),
            lambda room: room.report(who, accused, kind.value, EVIDENCE),
            stake=accused,
            instead={"InsufficientFunds": "NotActive"} if withdrawn else None,
        )
        if done:
            self.cases.append(address)

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
        if self.state.cases[number].state != CaseState.WAITING:
            return
        drawn = self.draw(number)
        for stake in range(len(OWNERS)):
            if drawn is None or OWNERS[stake] in drawn or not self.may_sit(number, stake):
                self.nominate(number, stake)
        if drawn is not None:
            assert {seat.owner for seat in self.state.cases[number].panel} == {self.key_of(each) for each in drawn}
        cast = [(whose, votes[whose]) for whose in self.voters(number) if votes[whose] is not None]
        self.world.wait(DAY)
        for whose, vote in cast:
            self.ballot(number, whose, vote is True, shown=False)
        self.world.wait(DAY)
        for whose, vote in cast:
            self.ballot(number, whose, vote is not False, shown=True)
        self.world.wait(DAY)
        if counted:
            self.close_round(number)

    def voters(self, number: int) -> list[int]:
        """The panel, and one who is not on it."""
        seated = {seat.owner for seat in self.state.cases[number].panel}
        people = sorted(range(PEOPLE), key=lambda whose: self.key_of(whose) not in seated)
        return people[: len(seated) + 1]

    def key_of(self, person: int) -> bytes:
        return bytes(self.operators[person].owner.pubkey())

    def draw(self, number: int) -> set[int] | None:
        """Draw the round's panel. Returns whom the room drew, if there is one."""
        address, case = self.cases[number], self.state.cases[number]
        seed_slot = self.world.record("slashing", "Case", address)["seed_slot"]
        if self.height > seed_slot + 512:
            self.world.send("slashing", "draw", case=address)
            seed_slot = self.world.record("slashing", "Case", address)["seed_slot"]
        if self.height <= seed_slot:
            self.world.wait(8)
        chance = bytes(Hash(struct.pack("<Q", seed_slot) * 4))
        views: list[CaseView] = []
        self.step(
            number,
            lambda each: slashing.draw(each, chance, self.now),
            "draw",
            lambda room: views.append(room.draw(number, case.parameters.draw_s)),
        )
        if self.embedded is None:
            return None
        people = self.embedded.people
        panel = {people.index(UUID(seat.project_id)): int(seat.ticket) for seat in views[0].panel}
        assert panel == self.drawn_again(self.embedded, number, case, bytes.fromhex(views[0].height_hash))
        return set(panel)

    def drawn_again(self, room: Embedded, number: int, case: slashing.Case, chance: bytes) -> dict[int, int]:
        """Whom the room must have drawn and by which tickets, from what it shows to everybody."""
        by_key = {self.key_of(number): project.bytes for number, project in enumerate(room.people)}
        own = replace(
            case, id=room.cases[number].bytes, reporter=by_key[case.reporter], accused=by_key[case.accused],
            first=tuple(by_key[each] for each in case.first),
        )  # fmt: skip
        own = slashing.draw(own, chance, self.now)
        for number, stake in enumerate(self.state.stakes):
            owner = room.owner(number).bytes
            validator = slashing.Validator(owner, owner, room.current(number).bytes, stake, 500, True, self.registered)
            try:
                own = slashing.nominate(own, validator, self.now)
            except Refusal:
                continue
        by_project = {project.bytes: number for number, project in enumerate(room.people)}
        return {by_project[seat.owner]: seat.ticket for seat in own.panel}

    def validator(self, stake: int) -> slashing.Validator:
        operator = self.operators[stake]
        return slashing.Validator(
            bytes(operator.owner.pubkey()), bytes(operator.key.pubkey()), bytes(operator.stake),
            self.state.stakes[stake], 500, True, self.registered,
        )  # fmt: skip

    def may_sit(self, number: int, stake: int) -> bool:
        """Whether a seat would be refused only for the ticket."""
        try:
            slashing.nominate(replace(self.state.cases[number], panel=()), self.validator(stake), self.now)
        except Refusal:
            return False
        return True

    def nominate(self, number: int, stake: int) -> None:
        self.step(
            number,
            lambda case: slashing.nominate(case, self.validator(stake), self.now),
            lambda: self.network.nominate(self.cases[number], self.operators[stake]),
        )

    def ballot(self, number: int, whose: int, vote: bool, *, shown: bool) -> None:
        """A person commits to a vote or shows it. On chain its node on the panel speaks for it."""
        address, case = self.cases[number], self.state.cases[number]
        seats = {seat.owner: seat.node for seat in case.panel}
        operator = self.operators[whose]
        node = seats.get(bytes(operator.owner.pubkey()), bytes(operator.key.pubkey()))
        operator = next(each for each in self.operators if bytes(each.key.pubkey()) == node)
        if shown:
            self.step(
                number,
                lambda case: slashing.reveal(case, node, vote, SALT, self.now),
                lambda: self.network.reveal(address, operator, vote),
                lambda room: room.reveal(number, whose, vote, SALT),
            )
            return

        def commit(room: Embedded) -> None:
            own = replace(case, id=room.cases[number].bytes)
            room.commit(number, whose, slashing.commitment_of(own, room.people[whose].bytes, vote, SALT))

        self.step(
            number,
            lambda case: slashing.commit(case, node, slashing.commitment_of(case, node, vote, SALT), self.now),
            lambda: self.network.commit(address, operator, vote, case.round),
            commit,
        )

    def step(
        self,
        number: int,
        model: Callable[[slashing.Case], slashing.Case],
        chain: str | Callable[[], object],
        room: Callable[[Embedded], object] | None = None,
    ) -> bool:
        """Bring a case further where nothing else changes."""

        def changed(state: State) -> None:
            state.cases[number] = model(state.cases[number])

        address = self.cases[number]
        return self.act(
            changed,
            (lambda: self.world.send("slashing", chain, case=address)) if isinstance(chain, str) else chain,
            room,
            codes=OF_CASES,
        )

    @precondition(lambda self: self.cases)
    @rule(case=ANY)
    def close(self, case: int) -> None:
        self.close_round(self.case_in(case, "VOTING"))

    def close_round(self, number: int) -> None:
        def model(state: State) -> None:
            after = slashing.close_round(state.cases[number], self.now)
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
            lambda case: slashing.appeal(case, self.now),
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
    @rule(who=WHO, accused=WHO, kind=KINDS, rounds=st.lists(VOTES, min_size=1, max_size=2))
    def trial(self, who: int, accused: int, kind: slashing.Kind, rounds: list[list[bool | str | None]]) -> None:
        """A report, judged once or twice, to its end."""
        number = len(self.cases)
        self.report(who, accused, kind)
        if len(self.cases) == number:
            return
        for votes in rounds:
            if votes is not rounds[0]:
                self.appeal_case(number)
            self.judge_case(number, votes)
        self.world.wait(7 * DAY + 1)
        self.execute(number)
