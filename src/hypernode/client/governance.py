"""What the blocking client does in governance. Method for method the same as `aio_governance`; a test compares the
two."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Generator
from typing import Any, TypeAlias

from hypernode.client import governance_calls
from hypernode.client.calls import Call
from hypernode.client.operations import Patience, pages
from hypernode.governance.panels import Ballot
from hypernode.governance.proposals import Choice
from hypernode.governance.views.cases import CaseRequest, CaseView
from hypernode.governance.views.proposals import ParameterList, ProposalRequest, ProposalView
from hypernode.governance.views.stakes import AddRequest, StakeRequest, StakeView, StakingView
from hypernode.governance.views.supply import BurnRequest, BurnView, SupplyView, UnlockView

Ask: TypeAlias = Callable[[Call[Any]], Any]


class Governance:
    """Stakes, proposals, cases and the supply, as one project sees them. Amounts and weights are µHYPER."""

    def __init__(self, ask: Ask, steps: Callable[[Any], Any], patience: Patience) -> None:
        self._ask = ask
        self._steps = steps
        self._patience = patience

    def stakes(self) -> Generator[StakeView, None, None]:
        """The project's stakes, newest first."""
        found: Generator[StakeView, None, None] = self._steps(pages(governance_calls.stakes, self._patience))
        return found

    def stake(self, stake_id: str) -> StakeView:
        """One stake."""
        found: StakeView = self._ask(governance_calls.stake(stake_id))
        return found

    def open_stake(self, amount: int, days: int) -> StakeView:
        """Lock µHYPER for 14 to 365 days. Raises StakeRefused, InsufficientFunds."""
        found: StakeView = self._ask(governance_calls.open_stake(StakeRequest(amount=amount, days=days), _key()))
        return found

    def add_to_stake(self, stake_id: str, amount: int) -> StakeView:
        """More for a stake, at the same lock. Raises StakeStateWrong, StakeFrozen, InsufficientFunds."""
        found: StakeView = self._ask(governance_calls.add_to_stake(stake_id, AddRequest(amount=amount), _key()))
        return found

    def unstake(self, stake_id: str) -> StakeView:
        """End a stake: it weighs nothing from now on. Raises StakeStateWrong, StakeFrozen."""
        found: StakeView = self._ask(governance_calls.of_stake(stake_id, "unstake", _key()))
        return found

    def withdraw(self, stake_id: str) -> StakeView:
        """Take an ended stake back. Raises StakeCooling, StakeStateWrong, StakeFrozen."""
        found: StakeView = self._ask(governance_calls.of_stake(stake_id, "withdraw", _key()))
        return found

    def claim(self, stake_id: str) -> StakeView:
        """Have a stake's rewards paid. Raises NothingToClaim."""
        found: StakeView = self._ask(governance_calls.of_stake(stake_id, "claim", _key()))
        return found

    def staking(self) -> StakingView:
        """All stakes together."""
        found: StakingView = self._ask(governance_calls.staking())
        return found

    def distribute(self) -> StakingView:
        """Share out what has come in for stakers. Raises NobodyStakes."""
        found: StakingView = self._ask(governance_calls.distribute())
        return found

    def parameters(self) -> ParameterList:
        """What votes may change, with defaults and bounds."""
        found: ParameterList = self._ask(governance_calls.parameters())
        return found

    def proposals(self, *, state: str | None = None) -> Generator[ProposalView, None, None]:
        """All proposals, newest first."""
        found: Generator[ProposalView, None, None] = self._steps(
            pages(lambda at: governance_calls.proposals(state, at), self._patience)
        )
        return found

    def proposal(self, proposal_id: str) -> ProposalView:
        """One proposal, with the votes of the project's own stakes."""
        found: ProposalView = self._ask(governance_calls.proposal(proposal_id))
        return found

    def propose(self, request: ProposalRequest) -> ProposalView:
        """Make a proposal. Raises WeightTooLow, ParameterOutOfBounds, ProposalKindUnavailable."""
        found: ProposalView = self._ask(governance_calls.propose(request, _key()))
        return found

    def vote(self, proposal_id: str, choice: Choice, stake_id: str | None = None) -> ProposalView:
        """Vote with one stake, or with all that have not voted. Raises NoWeight, AlreadyVoted, TooLate."""
        found: ProposalView = self._ask(governance_calls.vote(proposal_id, choice, stake_id, _key()))
        return found

    def activate(self, proposal_id: str) -> ProposalView:
        """Open the vote on a draft of the project's own."""
        found: ProposalView = self._ask(governance_calls.of_proposal(proposal_id, "activate", _key()))
        return found

    def cancel_proposal(self, proposal_id: str) -> ProposalView:
        """Take a proposal back before its vote has ended. Raises TooLate."""
        found: ProposalView = self._ask(governance_calls.of_proposal(proposal_id, "cancel", _key()))
        return found

    def finalize(self, proposal_id: str) -> ProposalView:
        """Count the votes once the time is over. Raises TooEarly."""
        found: ProposalView = self._ask(governance_calls.of_proposal(proposal_id, "finalize", _key()))
        return found

    def execute(self, proposal_id: str) -> ProposalView:
        """Carry out what was decided. Raises TooEarly, TooLate, FundTooSmall, ParameterOutOfBounds."""
        found: ProposalView = self._ask(governance_calls.of_proposal(proposal_id, "execute", _key()))
        return found

    def cases(self, *, state: str | None = None, stake_id: str | None = None) -> Generator[CaseView, None, None]:
        """All cases, or those of a stake, newest first."""
        found: Generator[CaseView, None, None] = self._steps(
            pages(lambda at: governance_calls.cases(state, stake_id, at), self._patience)
        )
        return found

    def case(self, case_id: str) -> CaseView:
        """One case."""
        found: CaseView = self._ask(governance_calls.case(case_id))
        return found

    def report(self, request: CaseRequest) -> CaseView:
        """Report a stake, with a bond. Raises InsufficientFunds, StakeStateWrong."""
        found: CaseView = self._ask(governance_calls.report(request, _key()))
        return found

    def commit(self, case_id: str, commitment: str) -> CaseView:
        """Commit to a vote as a member of the panel. Raises NotOnPanel, AlreadyCommitted, TooLate."""
        found: CaseView = self._ask(governance_calls.commit(case_id, commitment, _key()))
        return found

    def reveal(self, case_id: str, ballot: Ballot, salt: str) -> CaseView:
        """Show the vote that was committed to. Raises WrongReveal, TooEarly, TooLate."""
        found: CaseView = self._ask(governance_calls.reveal(case_id, ballot, salt, _key()))
        return found

    def appeal(self, case_id: str) -> CaseView:
        """Ask for a second panel, as the accused. Raises TooLate."""
        found: CaseView = self._ask(governance_calls.of_case(case_id, "appeal", _key()))
        return found

    def advance(self, case_id: str) -> CaseView:
        """Bring a case to where time allows. Raises TooEarly."""
        found: CaseView = self._ask(governance_calls.of_case(case_id, "advance", _key()))
        return found

    def burns(self) -> Generator[BurnView, None, None]:
        """Every burn, newest first."""
        found: Generator[BurnView, None, None] = self._steps(pages(governance_calls.burns, self._patience))
        return found

    def burn(self, amount: int, reference: str = "") -> BurnView:
        """Burn the project's own µHYPER, for ever. Raises InsufficientFunds."""
        found: BurnView = self._ask(governance_calls.burn(BurnRequest(amount=amount, reference=reference), _key()))
        return found

    def supply(self) -> SupplyView:
        """Where all HYPER is."""
        found: SupplyView = self._ask(governance_calls.supply())
        return found

    def unlock(self) -> UnlockView:
        """Unlock the next cycle, if it is due. Raises UnlockNotDue."""
        found: UnlockView = self._ask(governance_calls.unlock())
        return found


def _key() -> str:
    return str(uuid.uuid4())
