"""What the client for asyncio does in governance. Method for method the same as `governance`."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
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

AskAsync: TypeAlias = Callable[[Call[Any]], Awaitable[Any]]


class AsyncGovernance:
    """Stakes, proposals, cases and the supply, as one project sees them. Amounts and weights are µHYPER."""

    def __init__(self, ask: AskAsync, steps: Callable[[Any], Any], patience: Patience) -> None:
        self._ask = ask
        self._steps = steps
        self._patience = patience

    def stakes(self) -> AsyncGenerator[StakeView, None]:
        """The project's stakes, newest first."""
        found: AsyncGenerator[StakeView, None] = self._steps(pages(governance_calls.stakes, self._patience))
        return found

    async def stake(self, stake_id: str) -> StakeView:
        """One stake."""
        found: StakeView = await self._ask(governance_calls.stake(stake_id))
        return found

    async def open_stake(self, amount: int, days: int) -> StakeView:
        """Lock µHYPER for 14 to 365 days. Raises StakeRefused, InsufficientFunds."""
        found: StakeView = await self._ask(governance_calls.open_stake(StakeRequest(amount=amount, days=days), _key()))
        return found

    async def add_to_stake(self, stake_id: str, amount: int) -> StakeView:
        """More for a stake, at the same lock. Raises StakeStateWrong, StakeFrozen, InsufficientFunds."""
        found: StakeView = await self._ask(governance_calls.add_to_stake(stake_id, AddRequest(amount=amount), _key()))
        return found

    async def unstake(self, stake_id: str) -> StakeView:
        """End a stake: it weighs nothing from now on. Raises StakeStateWrong, StakeFrozen."""
        found: StakeView = await self._ask(governance_calls.of_stake(stake_id, "unstake", _key()))
        return found

    async def withdraw(self, stake_id: str) -> StakeView:
        """Take an ended stake back. Raises StakeCooling, StakeStateWrong, StakeFrozen."""
        found: StakeView = await self._ask(governance_calls.of_stake(stake_id, "withdraw", _key()))
        return found

    async def claim(self, stake_id: str) -> StakeView:
        """Have a stake's rewards paid. Raises NothingToClaim."""
        found: StakeView = await self._ask(governance_calls.of_stake(stake_id, "claim", _key()))
        return found

    async def staking(self) -> StakingView:
        """All stakes together."""
        found: StakingView = await self._ask(governance_calls.staking())
        return found

    async def distribute(self) -> StakingView:
        """Share out what has come in for stakers. Raises NobodyStakes."""
        found: StakingView = await self._ask(governance_calls.distribute())
        return found

    async def parameters(self) -> ParameterList:
        """What votes may change, with defaults and bounds."""
        found: ParameterList = await self._ask(governance_calls.parameters())
        return found

    def proposals(self, *, state: str | None = None) -> AsyncGenerator[ProposalView, None]:
        """All proposals, newest first."""
        found: AsyncGenerator[ProposalView, None] = self._steps(
            pages(lambda at: governance_calls.proposals(state, at), self._patience)
        )
        return found

    async def proposal(self, proposal_id: str) -> ProposalView:
        """One proposal, with the votes of the project's own stakes."""
        found: ProposalView = await self._ask(governance_calls.proposal(proposal_id))
        return found

    async def propose(self, request: ProposalRequest) -> ProposalView:
        """Make a proposal. Raises WeightTooLow, ParameterOutOfBounds, ProposalKindUnavailable."""
        found: ProposalView = await self._ask(governance_calls.propose(request, _key()))
        return found

    async def vote(self, proposal_id: str, choice: Choice, stake_id: str | None = None) -> ProposalView:
        """Vote with one stake, or with all that have not voted. Raises NoWeight, AlreadyVoted, TooLate."""
        found: ProposalView = await self._ask(governance_calls.vote(proposal_id, choice, stake_id, _key()))
        return found

    async def activate(self, proposal_id: str) -> ProposalView:
        """Open the vote on a draft of the project's own."""
        found: ProposalView = await self._ask(governance_calls.of_proposal(proposal_id, "activate", _key()))
        return found

    async def cancel_proposal(self, proposal_id: str) -> ProposalView:
        """Take a proposal back before its vote has ended. Raises TooLate."""
        found: ProposalView = await self._ask(governance_calls.of_proposal(proposal_id, "cancel", _key()))
        return found

    async def finalize(self, proposal_id: str) -> ProposalView:
        """Count the votes once the time is over. Raises TooEarly."""
        found: ProposalView = await self._ask(governance_calls.of_proposal(proposal_id, "finalize", _key()))
        return found

    async def execute(self, proposal_id: str) -> ProposalView:
        """Carry out what was decided. Raises TooEarly, TooLate, FundTooSmall, ParameterOutOfBounds."""
        found: ProposalView = await self._ask(governance_calls.of_proposal(proposal_id, "execute", _key()))
        return found

    def cases(self, *, state: str | None = None, stake_id: str | None = None) -> AsyncGenerator[CaseView, None]:
        """All cases, or those of a stake, newest first."""
        found: AsyncGenerator[CaseView, None] = self._steps(
            pages(lambda at: governance_calls.cases(state, stake_id, at), self._patience)
        )
        return found

    async def case(self, case_id: str) -> CaseView:
        """One case."""
        found: CaseView = await self._ask(governance_calls.case(case_id))
        return found

    async def report(self, request: CaseRequest) -> CaseView:
        """Report a stake, with a bond. Raises InsufficientFunds, StakeStateWrong."""
        found: CaseView = await self._ask(governance_calls.report(request, _key()))
        return found

    async def commit(self, case_id: str, commitment: str) -> CaseView:
        """Commit to a vote as a member of the panel. Raises NotOnPanel, AlreadyCommitted, TooLate."""
        found: CaseView = await self._ask(governance_calls.commit(case_id, commitment, _key()))
        return found

    async def reveal(self, case_id: str, ballot: Ballot, salt: str) -> CaseView:
        """Show the vote that was committed to. Raises WrongReveal, TooEarly, TooLate."""
        found: CaseView = await self._ask(governance_calls.reveal(case_id, ballot, salt, _key()))
        return found

    async def appeal(self, case_id: str) -> CaseView:
        """Ask for a second panel, as the accused. Raises TooLate."""
        found: CaseView = await self._ask(governance_calls.of_case(case_id, "appeal", _key()))
        return found

    async def advance(self, case_id: str) -> CaseView:
        """Bring a case to where time allows. Raises TooEarly."""
        found: CaseView = await self._ask(governance_calls.of_case(case_id, "advance", _key()))
        return found

    def burns(self) -> AsyncGenerator[BurnView, None]:
        """Every burn, newest first."""
        found: AsyncGenerator[BurnView, None] = self._steps(pages(governance_calls.burns, self._patience))
        return found

    async def burn(self, amount: int, reference: str = "") -> BurnView:
        """Burn the project's own µHYPER, for ever. Raises InsufficientFunds."""
        found: BurnView = await self._ask(
            governance_calls.burn(BurnRequest(amount=amount, reference=reference), _key())
        )
        return found

    async def supply(self) -> SupplyView:
        """Where all HYPER is."""
        found: SupplyView = await self._ask(governance_calls.supply())
        return found

    async def unlock(self) -> UnlockView:
        """Unlock the next cycle, if it is due. Raises UnlockNotDue."""
        found: UnlockView = await self._ask(governance_calls.unlock())
        return found


def _key() -> str:
    return str(uuid.uuid4())
