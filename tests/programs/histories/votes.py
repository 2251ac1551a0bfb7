"""Proposals and votes."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from programs.model import proposals
from programs.model.proposals import ProposalState
from programs.model.refusal import Refusal, require
from programs.world import DAY, HYPER

from .base import ANY, WHO, Worlds
from .effects import SETTINGS, Effect, Spend, Text
from .embedded import Embedded
from .refusals import OF_PROPOSALS
from .state import OWNERS, PEOPLE, State

EFFECTS = (
    st.just(Text())
    | st.sampled_from(SETTINGS)
    | st.builds(Spend, st.integers(0, PEOPLE - 1), st.sampled_from([1, 40 * HYPER, 5_000 * HYPER]))
)
CHOICES = st.sampled_from(["For", "For", "For", "Against", "Abstain"])


class Votes(Worlds):
    """Proposals and votes."""

    @precondition(lambda self: len(self.proposals) < 6)
    @rule(who=WHO, effect=EFFECTS, active=st.booleans())
    def propose(self, who: int, effect: Effect, active: bool) -> None:
        """Make a proposal and perhaps open its vote, which in the room may be one act."""
        who = self.likely(who, lambda each: each.weight >= self.state.voting.least_weight)
        each, number = self.operators[who], len(self.proposals)
        call = effect.call(self.world, [operator.tokens for operator in self.operators])
        name = effect.kind.replace("_", " ").title().replace(" ", "")

        def model(state: State) -> None:
            state.proposals.append(proposals.propose(state.voting, state.stakes[who]))
            state.effects.append(effect)

        done = self.act(
            model,
            lambda: self.network.propose(each.owner, each.stake, name, call, id=number),
            lambda room: room.propose(who, effect, draft=not active),
            stake=who,
        )
        if done:
            address = self.world.address("governance", "proposal", each.owner.pubkey(), number)
            self.proposals.append((address, who, call))
            if active:
                self.advance_proposal(number, "activate", by_room=False)

    def proposal_in(self, proposal: int, likely: str) -> int:
        """Mostly a proposal in this state."""
        those = [index for index, each in enumerate(self.state.proposals) if each.state.name == likely]
        return those[proposal % len(those)] if those and proposal % 5 else proposal % len(self.proposals)

    @precondition(lambda self: self.proposals)
    @rule(
        proposal=ANY,
        name=st.sampled_from(
            ["activate", "activate", "activate", "cancel", "finalize", "finalize", "execute", "expire"]
        ),
    )
    def advance(self, proposal: int, name: str) -> None:
        likely = {"activate": "DRAFT", "cancel": "DRAFT", "finalize": "ACTIVE", "execute": "QUEUED", "expire": "QUEUED"}
        self.advance_proposal(self.proposal_in(proposal, likely[name]), name)

    def advance_proposal(self, number: int, name: str, *, by_room: bool = True) -> bool:
        address, proposer, call = self.proposals[number]
        owner, before = self.operators[proposer].owner, self.state.proposals[number]
        if (name, before.state) in (("finalize", ProposalState.QUEUED), ("expire", ProposalState.ACTIVE)):
            by_room = False  # it has one act for both, which would do the other

        def model(state: State) -> None:
            match name:
                case "activate":
                    after = proposals.activate(before, state.voting, state.pool, self.now, self.height)
                case "cancel":
                    after = proposals.cancel(before, self.now)
                case "finalize":
                    after = proposals.finalize(before, self.now)
                case "execute":
                    after = proposals.execute(before, self.now)
                    state.effects[number].apply(state)
                case _:
                    after = proposals.expire(before, self.now)
            state.proposals[number] = after

        def chain() -> None:
            if name == "execute":
                self.network.execute(address, call)
            elif name in ("activate", "cancel"):
                self.world.send("governance", name, owner, proposer=owner.pubkey(), proposal=address)
            else:
                self.world.send("governance", name, proposal=address)

        def in_room(room: Embedded) -> None:
            match name:
                case "activate":
                    room.activate(number, proposer)
                case "cancel":
                    room.cancel(number, proposer)
                case "execute":
                    room.execute(number)
                case _:
                    room.finalize(number)

        return self.act(model, chain, in_room if by_room else None, codes=OF_PROPOSALS)

    @precondition(lambda self: self.proposals)
    @rule(proposal=ANY, who=WHO, choice=CHOICES)
    def vote(self, proposal: int, who: int, choice: str) -> None:
        self.cast(self.proposal_in(proposal, "ACTIVE"), self.likely(who, lambda each: each.weight > 0), choice)

    def cast(self, number: int, who: int, choice: str, *, by_room: bool = True) -> bool:
        each = self.operators[who]

        def model(state: State) -> None:
            require((number, who) not in state.voted, "AlreadyExists")
            state.proposals[number], _ = proposals.vote(
                state.proposals[number], state.stakes[who], proposals.Choice(choice), self.now
            )
            state.voted.add((number, who))

        return self.act(
            model,
            lambda: self.network.vote(self.proposals[number][0], each.owner, each.stake, choice),
            (lambda room: room.vote(number, who, choice)) if by_room else None,
            stake=who,
            codes=OF_PROPOSALS,
            instead=self.reasons_before_a_second_vote(number, who),
        )

    def reasons_before_a_second_vote(self, number: int, who: int) -> Mapping[str, str]:
        """On chain the first thing that a second vote meets is the record of the first; the room looks at the proposal
        and the weight before."""
        try:
            proposals.vote(self.state.proposals[number], self.state.stakes[who], proposals.Choice.FOR, self.now)
        except Refusal as refusal:
            return {"AlreadyExists": refusal.name}
        return {"AlreadyExists": "AlreadyVoted"}

    @precondition(lambda self: any(each.state == ProposalState.ACTIVE for each in self.state.proposals))
    @rule(proposal=ANY, choices=st.lists(st.sampled_from(["For", "For", "Against", "Abstain"]), min_size=3, max_size=3))
    def poll(self, proposal: int, choices: list[str]) -> None:
        """Those with the most weight vote with all they have, and the vote ends."""
        number = self.proposal_in(proposal, "ACTIVE")
        for whose, choice in zip(self.heaviest(), choices, strict=False):
            self.vote_with_all(number, whose, choice)
        self.world.wait(3 * DAY)
        self.advance_proposal(number, "finalize")

    def heaviest(self) -> list[int]:
        """People, by the weight of all their stakes."""
        weights = [0] * PEOPLE
        for whose, stake in zip(OWNERS, self.state.stakes, strict=True):
            weights[whose] += stake.weight
        return sorted(range(PEOPLE), key=lambda whose: -weights[whose])

    def vote_with_all(self, number: int, whose: int, choice: str) -> None:
        """Each stake of a person that can votes; the room has an act for that."""
        able = [
            who for who, owner in enumerate(OWNERS)
            if owner == whose and self.reasons_before_a_second_vote(number, who)["AlreadyExists"] == "AlreadyVoted"
            and (number, who) not in self.state.voted
        ]  # fmt: skip
        for who in able:
            assert self.cast(number, who, choice, by_room=False)
        if able and self.embedded is not None:
            assert self.embedded.refusal(lambda room: room.vote_with_all(number, whose, choice)) is None

    @precondition(lambda self: len(self.proposals) < 6)
    @rule(who=WHO, effect=EFFECTS, against=st.sets(st.integers(0, 4), max_size=2), late=st.booleans())
    def campaign(self, who: int, effect: Effect, against: set[int], late: bool) -> None:
        """A proposal to its end, with each step also tried a second too early or too late; perhaps nobody executes it
        in time."""
        number = len(self.proposals)
        self.propose(who, effect, active=True)
        if len(self.proposals) == number:
            return
        *voters, last, missing = self.heaviest()[:5]
        choices = ["Against" if place in against else "For" for place in range(5)]
        for whose, choice in zip(voters, choices, strict=False):
            self.vote_with_all(number, whose, choice)
        self.world.wait(3 * DAY - 1)
        self.vote_with_all(number, last, choices[-1])
        self.advance_proposal(number, "finalize")
        self.world.wait(1)
        self.cast(number, missing, "For")
        self.advance_proposal(number, "finalize")
        first, second = ("expire", "execute") if late else ("execute", "execute")
        self.world.wait((14 * DAY if late else DAY) - 1)
        self.advance_proposal(number, first)
        self.world.wait(1)
        self.advance_proposal(number, second)
        self.advance_proposal(number, "expire")
