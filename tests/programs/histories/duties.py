"""What time brings: what anyone may do, the coordinator's duties do in the room by themselves."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from programs.model import unlock
from programs.model.proposals import ProposalState
from programs.model.slashing import CaseState
from programs.world import DAY, START

from .reports import Reports
from .supply import Supply
from .votes import Votes

POSTPONED_S = 3_600
"""After so long the duties try again what could not be carried out."""


class Duties(Reports, Votes, Supply):
    """Duties do in the room what is due, one step of each, and nothing else; elsewhere it is done by hand, in the same
    order. While a case waits to be drawn they are left out: the room would draw it before the chain's day is over."""

    def set_up(self) -> None:
        super().set_up()
        self.postponed: dict[int, int] = {}

    @precondition(lambda self: all(each.state != CaseState.WAITING for each in self.state.cases))
    @rule(seconds=st.sampled_from([0, DAY, 3 * DAY, 7 * DAY + 1, 14 * DAY]))
    def keep(self, seconds: int) -> None:
        self.world.wait(seconds)
        proposals = [number for _, number in sorted(self.due_proposals())]
        cases = [number for _, number in sorted(self.due_cases())]
        with self.left_to_duties():
            for number in proposals:
                self.bring_further(number)
            for number in cases:
                if self.state.cases[number].state == CaseState.VOTING:
                    self.close_round(number)
                else:
                    self.execute(number)
            if self.state.cycles < unlock.CYCLES and self.now >= START + self.state.cycles * unlock.CYCLE_S:
                self.unlock()

    def bring_further(self, number: int) -> None:
        proposal = self.state.proposals[number]
        if proposal.state == ProposalState.ACTIVE:
            self.advance_proposal(number, "finalize")
        elif self.now >= proposal.end_of_queue:
            self.advance_proposal(number, "expire")
        elif not self.advance_proposal(number, "execute"):
            self.postponed[number] = self.now + POSTPONED_S

    def due_proposals(self) -> list[tuple[int, int]]:
        """Since when, and which."""
        found = []
        for number, each in enumerate(self.state.proposals):
            if each.state == ProposalState.ACTIVE:
                found.append((each.end_of_vote, number))
            elif each.state == ProposalState.QUEUED:
                unlocked = each.queued_at + each.parameters.timelock_s
                found.append((self.postponed.get(number, unlocked), number))
        return [one for one in found if one[0] <= self.now]

    def due_cases(self) -> list[tuple[int, int]]:
        """Since when, and which."""
        found = []
        for number, each in enumerate(self.state.cases):
            rules = each.parameters
            if each.state == CaseState.VOTING:
                found.append((each.drawn_at + rules.draw_s + rules.commit_s + rules.reveal_s, number))
            elif each.state == CaseState.CONFIRMED:
                found.append((each.confirmed_at + rules.appeal_s + 1, number))
            elif each.state == CaseState.UPHELD:
                found.append((self.closed_at[number], number))
        return [one for one in found if one[0] <= self.now]
