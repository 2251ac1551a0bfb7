"""Proposals and votes."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from programs.model import proposals
from programs.model.refusal import require
from programs.world import DAY, HYPER

from .base import ANY, WHO, Both
from .state import PEOPLE, State


class Votes(Both):
    """Proposals and votes."""

    @precondition(lambda self: len(self.proposals) < 4)
    @rule(who=WHO, active=st.booleans())
    def propose(self, who: int, active: bool) -> None:
        who = self.likely(who, lambda each: each.weight >= 1_000_000 * HYPER)
        each, number = self.operators[who], len(self.proposals)
        done = self.both(
            lambda state: state.proposals.append(proposals.propose(proposals.Parameters(), state.stakes[who])),
            lambda: self.network.propose(each.owner, each.stake, id=number),
        )
        if done:
            address = self.world.address("governance", "proposal", each.owner.pubkey(), number)
            self.proposals.append((address, each.owner))
            if active:
                self.advance_proposal(number, "activate")

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

    def advance_proposal(self, number: int, name: str) -> None:
        address, owner = self.proposals[number]

        def model(state: State) -> None:
            before = state.proposals[number]
            match name:
                case "activate":
                    after = proposals.activate(before, proposals.Parameters(), state.pool, self.now, self.height)
                case "cancel":
                    after = proposals.cancel(before, self.now)
                case "finalize":
                    after = proposals.finalize(before, self.now)
                case "execute":
                    after = proposals.execute(before, self.now)
                case _:
                    after = proposals.expire(before, self.now)
            state.proposals[number] = after

        def chain() -> None:
            if name == "execute":
                self.network.execute(address)
            elif name in ("activate", "cancel"):
                self.world.send("governance", name, owner, proposer=owner.pubkey(), proposal=address)
            else:
                self.world.send("governance", name, proposal=address)

        self.both(model, chain)

    @precondition(lambda self: self.proposals)
    @rule(
        proposal=ANY, who=WHO, choice=st.sampled_from(["For", "For", "For", "Against", "Abstain"]).map(proposals.Choice)
    )
    def vote(self, proposal: int, who: int, choice: proposals.Choice) -> None:
        self.cast(self.proposal_in(proposal, "ACTIVE"), self.likely(who, lambda each: each.weight > 0), choice)

    @precondition(lambda self: any(each.state == proposals.ProposalState.ACTIVE for each in self.state.proposals))
    @rule(proposal=ANY, choices=st.lists(st.sampled_from(["For", "For", "Against", "Abstain"]), min_size=3, max_size=3))
    def poll(self, proposal: int, choices: list[str]) -> None:
        """Those with the most weight vote, and the vote ends."""
        number = self.proposal_in(proposal, "ACTIVE")
        heaviest = sorted(range(PEOPLE), key=lambda who: -self.state.stakes[who].weight)
        for who, choice in zip(heaviest, choices, strict=False):
            self.cast(number, who, proposals.Choice(choice))
        self.world.wait(3 * DAY)
        self.advance_proposal(number, "finalize")

    def cast(self, number: int, who: int, choice: proposals.Choice) -> None:
        each = self.operators[who]

        def model(state: State) -> None:
            require((number, who) not in state.voted, "AlreadyExists")
            state.proposals[number], _ = proposals.vote(state.proposals[number], state.stakes[who], choice, self.now)
            state.voted.add((number, who))

        address = self.proposals[number][0]
        self.both(model, lambda: self.network.vote(address, each.owner, each.stake, choice.value))
