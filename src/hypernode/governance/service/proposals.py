"""Proposals: made and voted on by stakers, carried out by anyone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from hypernode.governance import proposals, staking, store
from hypernode.governance.parameters import Parameters, changed
from hypernode.governance.proposals import Change, Choice, Proposal, Spend, State
from hypernode.governance.service.sitting import Acts, Sitting
from hypernode.governance.service.stakes import read_cursor
from hypernode.governance.staking import Stake
from hypernode.governance.views.proposals import (
    ParameterList,
    ProposalPage,
    ProposalRequest,
    ProposalView,
    VoteView,
    parameter_list,
    proposal_view,
)
from hypernode.kernel import limits
from hypernode.kernel.errors import AlreadyVoted, Conflict, Forbidden, NotFound, NoWeight
from hypernode.kernel.ids import uuid7
from hypernode.kernel.times import moment
from hypernode.ledger.model import AccountKind
from hypernode.tenancy.model import Idempotency
from hypernode.tenancy.service import Tenancy

POSTPONE_S = 3600
"""After so long a proposal that could not be carried out is tried again."""


class Proposals:
    """What stakers decide."""

    def __init__(self, acts: Acts, tenancy: Tenancy) -> None:
        self._acts = acts
        self._tenancy = tenancy

    async def propose(
        self, project_id: UUID, request: ProposalRequest, idempotency: Idempotency | None = None
    ) -> ProposalView:
        """Make a proposal and, unless it is to stay a draft, open the vote. Raises InvalidInput, ParameterOutOfBounds,
        ProposalKindUnavailable, WeightTooLow, NotFound, Conflict when the project has too many open."""
        effect = proposals.read_payload(request.kind, request.payload)
        payload = proposals.encode_payload(effect)

        async def work(sitting: Sitting) -> ProposalView:
            open_ones = await sitting.connection.fetchval(store.queries.count_proposals, project_id)
            if open_ones >= limits.PROPOSALS_PER_PROJECT:
                raise Conflict(f"the project has {open_ones} open proposals; cancel one, or wait until one ends")
            stake = await _proposing(sitting, project_id, request.stake)
            proposals.require_weight(stake.weight, sitting.parameters.voting)
            await self._check(sitting, effect)
            proposal = Proposal(
                id=uuid7(),
                proposer=project_id,
                kind=request.kind,
                title=request.title,
                payload=payload,
                rules=sitting.parameters.voting,
                created_at=sitting.now,
            )
            if not request.draft:
                proposal = self._activated(sitting, proposal)
            return await self._write(sitting, proposal, "proposal.made", title=request.title)

        return await self._acts.act("proposal.propose", ProposalView, work, project_id, idempotency)

    @staticmethod
    def _activated(sitting: Sitting, proposal: Proposal) -> Proposal:
        return proposals.activate(proposal, sitting.parameters.voting, sitting.pool.weight, sitting.height, sitting.now)

    async def activate(
        self, project_id: UUID, proposal_id: UUID, idempotency: Idempotency | None = None
    ) -> ProposalView:
        """Open the vote on a draft of the project's own. Raises NotFound, Forbidden, ProposalStateWrong,
        NobodyStakes."""

        async def work(sitting: Sitting) -> ProposalView:
            proposal = await self._own(sitting, project_id, proposal_id)
            return await self._write(sitting, self._activated(sitting, proposal), "proposal.activated")

        return await self._acts.act("proposal.activate", ProposalView, work, project_id, idempotency)

    async def cancel(self, project_id: UUID, proposal_id: UUID, idempotency: Idempotency | None = None) -> ProposalView:
        """Take the project's own proposal back, before its vote has ended. Raises NotFound, Forbidden,
        ProposalStateWrong, TooLate."""

        async def work(sitting: Sitting) -> ProposalView:
            proposal = await self._own(sitting, project_id, proposal_id)
            return await self._write(sitting, proposals.cancel(proposal, sitting.now), "proposal.cancelled")

        return await self._acts.act("proposal.cancel", ProposalView, work, project_id, idempotency)

    async def vote(
        self,
        project_id: UUID,
        proposal_id: UUID,
        choice: Choice,
        stake_id: UUID | None = None,
        idempotency: Idempotency | None = None,
    ) -> ProposalView:
        """Vote with one stake, or with all the project has that had weight when the vote began and have not voted.
        Raises NotFound, ProposalStateWrong, TooLate, NoWeight, AlreadyVoted."""

        async def work(sitting: Sitting) -> ProposalView:
            proposal, _ = await store.find_proposal(sitting.connection, proposal_id)
            proposals.require_open(proposal, sitting.now)
            voted = await self._votes(sitting, proposal, project_id)
            for stake in await _voting(sitting, project_id, proposal, stake_id, {vote.stake for vote in voted}):
                weight = staking.weight_before(stake, proposal.activated_height)
                proposal = proposals.vote(proposal, weight, choice, sitting.now)
                vote = (proposal_id, stake.id, project_id, weight, choice.value, sitting.at)
                if await sitting.connection.fetchval(store.queries.insert_vote, *vote) is None:
                    raise AlreadyVoted(f"stake {stake.id} has voted")
            return await self._write(sitting, proposal, "proposal.voted", project_id, choice=choice)

        return await self._acts.act("proposal.vote", ProposalView, work, project_id, idempotency)

    async def finalize(
        self, proposal_id: UUID, project_id: UUID | None = None, idempotency: Idempotency | None = None
    ) -> ProposalView:
        """What time has decided: the end of a vote, or of the time to execute. Anyone may. Raises NotFound,
        ProposalStateWrong, TooEarly."""

        async def work(sitting: Sitting) -> ProposalView:
            proposal, _ = await store.find_proposal(sitting.connection, proposal_id)
            decided = proposals.finalize(proposal, sitting.now)
            return await self._write(sitting, decided, f"proposal.{decided.state}")

        return await self._acts.act("proposal.finalize", ProposalView, work, project_id, idempotency)

    async def execute(
        self, proposal_id: UUID, project_id: UUID | None = None, idempotency: Idempotency | None = None
    ) -> ProposalView:
        """Carry out what was decided. Anyone may. Raises NotFound, ProposalStateWrong, TooEarly, TooLate; and
        ParameterOutOfBounds, FundTooSmall where it cannot be carried out as things are: then it stays queued."""

        async def work(sitting: Sitting) -> ProposalView:
            proposal, _ = await store.find_proposal(sitting.connection, proposal_id)
            executed = proposals.execute(proposal, sitting.now)
            match proposals.effect_of(proposal):
                case Change(parameters):
                    sitting.parameters = changed(sitting.parameters, parameters)
                case Spend(project_id=creditor, amount=amount, fund=fund):
                    await sitting.spend(AccountKind(fund.value), creditor, amount)
                    sitting.tell("proposal.paid", creditor, proposal=str(proposal_id), amount=amount)
                case None:
                    pass
            return await self._write(sitting, executed, "proposal.executed")

        return await self._acts.act("proposal.execute", ProposalView, work, project_id, idempotency)

    async def postpone(self, proposal_id: UUID, now: int) -> None:
        """It could not be carried out just now; duties look at it again later."""
        await self._acts.pool.execute(store.queries.postpone_proposal, proposal_id, moment(now + POSTPONE_S))

    async def find(self, proposal_id: UUID) -> Proposal:
        """A proposal. Raises NotFound."""
        async with self._acts.pool.acquire() as connection:
            return (await store.find_proposal(connection, proposal_id))[0]

    async def view(self, project_id: UUID, proposal_id: UUID) -> ProposalView:
        """A proposal, with how the project's own stakes voted. Raises NotFound."""
        async with self._acts.pool.acquire() as connection, connection.transaction(isolation="repeatable_read"):
            proposal, proposer = await store.find_proposal(connection, proposal_id)
            rows = await connection.fetch(store.queries.votes_of, proposal_id, project_id)
        return proposal_view(proposal, proposer, _vote_views(rows))

    async def page(self, state: State | None, cursor: str | None, limit: int) -> ProposalPage:
        """All proposals, newest first. Raises InvalidInput for a wrong cursor."""
        after = read_cursor(cursor)
        rows = await self._acts.pool.fetch(store.queries.list_proposals, state and state.value, after, limit + 1)
        items = [proposal_view(store.proposal_of(row), row["proposer_name"]) for row in rows[:limit]]
        return ProposalPage(items, items[-1].id if len(rows) > limit else None)

    async def current(self) -> Parameters:
        """The parameters as they are."""
        async with self._acts.pool.acquire() as connection:
            _, parameters, _, _ = await store.read(connection)
        return parameters

    async def parameters(self) -> ParameterList:
        """The parameters as they are shown, with defaults and bounds."""
        return parameter_list(await self.current())

    async def _check(self, sitting: Sitting, effect: Change | Spend | None) -> None:
        """Refuse what could never be carried out, before anybody votes on it."""
        match effect:
            case Change(parameters):
                changed(sitting.parameters, parameters)
            case Spend(project_id=creditor):
                await self._tenancy.require(sitting.connection, creditor)
            case None:
                pass

    async def _own(self, sitting: Sitting, project_id: UUID, proposal_id: UUID) -> Proposal:
        proposal, _ = await store.find_proposal(sitting.connection, proposal_id)
        if proposal.proposer != project_id:
            raise Forbidden("only who proposed it may do that")
        return proposal

    async def _votes(self, sitting: Sitting, proposal: Proposal, project_id: UUID) -> list[VoteView]:
        return _vote_views(await sitting.connection.fetch(store.queries.votes_of, proposal.id, project_id))

    async def _write(
        self, sitting: Sitting, proposal: Proposal, event: str, *others: UUID, **data: Any
    ) -> ProposalView:
        await store.put_proposal(sitting.connection, proposal)
        sitting.tell(event, proposal.proposer, *others, proposal=str(proposal.id), state=proposal.state, **data)
        _, proposer = await store.find_proposal(sitting.connection, proposal.id)
        voter = others[0] if others else proposal.proposer
        return proposal_view(proposal, proposer, await self._votes(sitting, proposal, voter))


async def _proposing(sitting: Sitting, project_id: UUID, stake_id: UUID | None) -> Stake:
    """The stake whose weight a proposal is made by: the one named, or the heaviest."""
    if stake_id is not None:
        return await store.find_stake(sitting.connection, stake_id, project_id)
    row = await sitting.connection.fetchrow(store.queries.stakes_of, project_id)
    if row is None:
        raise NotFound("the project has no stake; open one with: hypernode stake open AMOUNT --days DAYS")
    return store.stake_of(row)


async def _voting(
    sitting: Sitting, project_id: UUID, proposal: Proposal, stake_id: UUID | None, voted: set[str]
) -> Sequence[Stake]:
    """The stakes that a vote is of. Raises NotFound, AlreadyVoted, NoWeight."""
    if stake_id is not None:
        return [await store.find_stake(sitting.connection, stake_id, project_id)]
    rows = await sitting.connection.fetch(store.queries.stakes_of, project_id)
    weighty = [
        stake for row in rows if staking.weight_before(stake := store.stake_of(row), proposal.activated_height) > 0
    ]
    if not weighty:
        raise NoWeight("none of the project's stakes had weight before the vote began")
    left = [stake for stake in weighty if str(stake.id) not in voted]
    if not left:
        raise AlreadyVoted("all of the project's stakes have voted")
    return left


def _vote_views(rows: Sequence[Any]) -> list[VoteView]:
    return [VoteView(stake=str(row["stake_id"]), weight=row["weight"], choice=Choice(row["choice"])) for row in rows]
