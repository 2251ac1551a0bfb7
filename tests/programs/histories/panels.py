"""Panels: drawn, then voting in secret."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from hypothesis import strategies as st
from msgspec.structs import replace

from hypernode.governance.views.cases import CaseView
from programs.model import slashing
from programs.model.refusal import Refusal
from programs.model.slashing import CaseState
from programs.network import SALT
from programs.world import DAY, hash_of

from .base import Worlds
from .embedded import Embedded
from .refusals import OF_CASES
from .state import OWNERS, PEOPLE, State

VOTES = st.lists(st.sampled_from([True, True, True, False, None, "lie"]), min_size=PEOPLE, max_size=PEOPLE)
"""What each person votes if it sits on the panel: for or against, not at all, or another vote than it committed to."""


class Panels(Worlds):
    """Panels: drawn, then voting in secret.

    A panel is drawn by each world from its own chance. On chain whoever is nominated within a day may sit; the room
    draws from all who may at once. So the room draws as it will a day later, those are nominated on chain whom it
    drew, and both vote at the same times. That each takes the lowest tickets is looked at by itself: in the room by
    drawing again with the model's rules, on chain in the machine without a room.

    A round that nobody draws while the hash of its slot is known ends undrawn. The room has its hashes for ever, and
    duties that draw within seconds. So beside a room such a round is left alone.
    """

    def is_left_alone(self, number: int) -> bool:
        case = self.state.cases[number]
        forgotten = case.state == CaseState.WAITING and self.height > case.seed_height + slashing.KNOWN_HEIGHTS
        return self.embedded is not None and forgotten

    def hold_round(self, number: int, votes: list[bool | str | None]) -> bool:
        """A whole round of a case that waits for one, until everybody has voted. Returns whether it was drawn."""
        case = self.state.cases[number]
        if self.height <= case.seed_height:
            self.world.wait(0, slots=case.seed_height + 1 - self.height)
        chance = bytes(hash_of(case.seed_height)[1])
        views: list[CaseView] = []
        if not self.step(
            number,
            lambda each: slashing.draw(each, chance, self.now, self.height),
            "draw",
            lambda room: views.append(room.draw(number, case.parameters.draw_s)),
        ):
            return False
        drawn = None if self.embedded is None else self.drawn_by(self.embedded, number, case, views[0])
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
        return True

    def voters(self, number: int) -> list[int]:
        """The panel, and one who is not on it."""
        seated = {seat.owner for seat in self.state.cases[number].panel}
        people = sorted(range(PEOPLE), key=lambda whose: self.key_of(whose) not in seated)
        return people[: len(seated) + 1]

    def key_of(self, person: int) -> bytes:
        return bytes(self.operators[person].owner.pubkey())

    def drawn_by(self, room: Embedded, number: int, case: slashing.Case, view: CaseView) -> set[int]:
        """Whom the room drew, which are those that it must have drawn."""
        panel = {room.people.index(UUID(seat.project_id)): int(seat.ticket) for seat in view.panel}
        assert panel == self.drawn_again(room, number, case, bytes.fromhex(view.height_hash))
        return set(panel)

    def drawn_again(self, room: Embedded, number: int, case: slashing.Case, chance: bytes) -> dict[int, int]:
        """Whom the room must have drawn and by which tickets, from what it shows to everybody."""
        by_key = {self.key_of(number): project.bytes for number, project in enumerate(room.people)}
        own = replace(
            case, id=room.cases[number].bytes, reporter=by_key[case.reporter], accused=by_key[case.accused],
            first=tuple(by_key[each] for each in case.first),
        )  # fmt: skip
        own = slashing.draw(own, chance, self.now, own.seed_height + 1)
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
