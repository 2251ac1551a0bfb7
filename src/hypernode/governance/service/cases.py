"""Cases: reports of stakes, the panels that judge them, and what is slashed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from hypernode.governance import slashing, staking, store
from hypernode.governance.panels import Ballot, Candidate
from hypernode.governance.service.sitting import Acts, Sitting
from hypernode.governance.service.stakes import read_cursor
from hypernode.governance.slashing import Case, State
from hypernode.governance.staking import Stake
from hypernode.governance.views.cases import CasePage, CaseRequest, CaseView, case_view
from hypernode.kernel import limits
from hypernode.kernel.errors import CaseStateWrong, Conflict, Forbidden, InvalidInput, NotFound
from hypernode.kernel.ids import uuid7
from hypernode.kernel.times import moment, unix
from hypernode.ledger.model import AccountKind, Cause
from hypernode.nodes.service import Nodes
from hypernode.tenancy.model import Idempotency


class Cases:
    """Reporting, judging, appealing, and carrying out."""

    def __init__(self, acts: Acts, nodes: Nodes) -> None:
        self._acts = acts
        self._nodes = nodes

    async def report(self, project_id: UUID, request: CaseRequest, idempotency: Idempotency | None = None) -> CaseView:
        """Report a stake, with a bond; it is frozen until the case ends. Raises NotFound, StakeStateWrong,
        InsufficientFunds, InvalidInput."""
        if (request.stake is None) == (request.node is None):
            raise InvalidInput("name either the stake or a node of its owner")

        async def work(sitting: Sitting) -> CaseView:
            stake = staking.freeze(await self._reported(sitting, request), sitting.now)
            if stake.reports > limits.REPORTS_PER_STAKE:
                raise Conflict(f"the stake is under {limits.REPORTS_PER_STAKE} reports")
            rules = sitting.parameters.slashing
            case = Case(
                id=uuid7(),
                reporter=project_id,
                stake=stake.id,
                accused=stake.owner,
                kind=request.kind,
                evidence=request.evidence,
                bps=slashing.bps_of(request.kind, rules),
                bond=rules.bond,
                rules=rules,
                reported_at=sitting.now,
                reported_height=sitting.height,
            )
            await sitting.take(project_id, AccountKind.BONDED, rules.bond, Cause.BOND)
            await store.put_stake(sitting.connection, stake)
            return await self._write(sitting, case, project_id, "case.reported", kind=case.kind)

        return await self._acts.act("case.report", CaseView, work, project_id, idempotency)

    async def commit(
        self, project_id: UUID, case_id: UUID, commitment: str, idempotency: Idempotency | None = None
    ) -> CaseView:
        """A member of the panel commits to a vote. Raises NotFound, CaseStateWrong, TooLate, NotOnPanel,
        AlreadyCommitted."""

        async def work(sitting: Sitting) -> CaseView:
            case = slashing.commit(
                await store.find_case(sitting.connection, case_id), project_id, commitment, sitting.now
            )
            return await self._write(sitting, case, project_id)

        return await self._acts.act("case.commit", CaseView, work, project_id, idempotency)

    async def reveal(
        self, project_id: UUID, case_id: UUID, ballot: Ballot, salt: bytes, idempotency: Idempotency | None = None
    ) -> CaseView:
        """A member of the panel shows its vote. Raises NotFound, CaseStateWrong, TooEarly, TooLate, NotOnPanel,
        WrongReveal."""

        async def work(sitting: Sitting) -> CaseView:
            case = slashing.reveal(
                await store.find_case(sitting.connection, case_id), project_id, ballot, salt, sitting.now
            )
            return await self._write(sitting, case, project_id)

        return await self._acts.act("case.reveal", CaseView, work, project_id, idempotency)

    async def appeal(self, project_id: UUID, case_id: UUID, idempotency: Idempotency | None = None) -> CaseView:
        """The accused asks for a second panel. Raises NotFound, Forbidden, CaseStateWrong, TooLate."""

        async def work(sitting: Sitting) -> CaseView:
            case = await store.find_case(sitting.connection, case_id)
            if case.accused != project_id:
                raise Forbidden("only the accused may appeal")
            return await self._write(sitting, slashing.appeal(case, sitting.now), project_id, "case.appealed")

        return await self._acts.act("case.appeal", CaseView, work, project_id, idempotency)

    async def advance(
        self, case_id: UUID, project_id: UUID | None = None, idempotency: Idempotency | None = None
    ) -> CaseView:
        """Bring a case to where time allows: draw its panel, count the votes, or carry it out. Anyone may. Raises
        NotFound, CaseStateWrong, TooEarly."""

        async def work(sitting: Sitting) -> CaseView:
            case = await store.find_case(sitting.connection, case_id)
            steps: dict[State, Callable[[Sitting, Case], Awaitable[Case]]] = {
                State.WAITING: self._draw,
                State.VOTING: self._close_round,
                State.CONFIRMED: self._execute,
                State.UPHELD: self._execute,
            }
            step = steps.get(case.state)
            if step is None:
                raise CaseStateWrong(f"the case has ended: {case.state}")
            case = await step(sitting, case)
            kind = "case.drawn" if case.state is State.VOTING else f"case.{case.state}"
            return await self._write(sitting, case, project_id, kind)

        return await self._acts.act("case.advance", CaseView, work, project_id, idempotency)

    async def view(self, project_id: UUID, case_id: UUID) -> CaseView:
        """A case. Raises NotFound."""
        async with self._acts.pool.acquire() as connection:
            case = await store.find_case(connection, case_id)
            now = self._acts.time(await connection.fetchval("select clock_timestamp()"))
        return case_view(case, project_id, unix(now))

    async def page(
        self, project_id: UUID, state: State | None, stake: UUID | None, cursor: str | None, limit: int
    ) -> CasePage:
        """All cases, or those of a stake, newest first. Raises InvalidInput for a wrong cursor."""
        after = read_cursor(cursor)
        async with self._acts.pool.acquire() as connection:
            rows = await connection.fetch(store.queries.list_cases, state and state.value, stake, after, limit + 1)
            now = unix(self._acts.time(await connection.fetchval("select clock_timestamp()")))
        items = [case_view(store.case_of(row), project_id, now) for row in rows[:limit]]
        return CasePage(items, items[-1].id if len(rows) > limit else None)

    async def _reported(self, sitting: Sitting, request: CaseRequest) -> Stake:
        if request.stake is not None:
            return await store.find_stake(sitting.connection, request.stake)
        owner = await self._nodes.owner(sitting.connection, request.node or "")
        row = await sitting.connection.fetchrow(store.queries.heaviest_stake, owner)
        if row is None:
            raise NotFound(f"whoever owns node {request.node} has no stake")
        return store.stake_of(row)

    async def _draw(self, sitting: Sitting, case: Case) -> Case:
        rows = await sitting.connection.fetch(
            store.queries.validators, case.rules.validator_amount, case.reported_height
        )
        owners = {row["owner"] for row in rows}
        # Nothing measures the standing of nodes yet, so that of a new one, which is good, is everyone's.
        owners = await self._nodes.owners(sitting.connection, list(owners), moment(case.reported_at))
        candidates = (Candidate(row["owner"], row["id"]) for row in rows if row["owner"] in owners)
        # Beside everything else: a ticket for each of 100,000 stakes takes a second.
        return await asyncio.to_thread(
            slashing.draw, case, candidates, sitting.height, sitting.height_hash, sitting.now
        )

    async def _close_round(self, sitting: Sitting, case: Case) -> Case:
        case = slashing.close_round(case, sitting.now)
        if case.state.ended:
            await sitting.move(AccountKind.BONDED, AccountKind.TREASURY, case.bond, Cause.BOND_FORFEIT)
            stake = await store.find_stake(sitting.connection, case.stake)
            await store.put_stake(sitting.connection, staking.release(stake))
            case = slashing.without_bond(case)
        return case

    async def _execute(self, sitting: Sitting, case: Case) -> Case:
        case = slashing.execute(case, sitting.now)
        stake = await store.find_stake(sitting.connection, case.stake)
        await sitting.distribute()
        stake, sitting.pool, amount = staking.slash(stake, case.bps, sitting.pool, sitting.height)
        await store.put_stake(sitting.connection, stake)
        parts = slashing.proceeds_of(amount)
        if parts.burned:
            await sitting.burn(AccountKind.STAKED, parts.burned, "slashed")
        reporter, staked, available = case.reporter, AccountKind.STAKED, AccountKind.AVAILABLE
        await sitting.move(staked, available, parts.reward, Cause.SLASH_REWARD, creditor=reporter)
        await sitting.move(staked, AccountKind.TREASURY, parts.treasury, Cause.SLASH)
        await sitting.move(AccountKind.BONDED, available, case.bond, Cause.BOND_RETURN, creditor=reporter)
        sitting.tell("stake.slashed", case.accused, stake=str(stake.id), case=str(case.id), amount=amount)
        return slashing.without_bond(case)

    async def _write(
        self, sitting: Sitting, case: Case, project_id: UUID | None, event: str | None = None, **data: Any
    ) -> CaseView:
        await store.put_case(sitting.connection, case, sitting.now)
        if event is not None:
            judges = [seat.owner for seat in case.panel]
            told = (case.reporter, case.accused, *judges)
            sitting.tell(event, *told, case=str(case.id), stake=str(case.stake), state=case.state, **data)
        return case_view(case, project_id, sitting.now)
