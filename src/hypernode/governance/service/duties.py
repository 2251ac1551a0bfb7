"""What time brings: votes that end, panels to be drawn, unlocks that are due. Everybody may bring it about; this
does."""

from __future__ import annotations

import logging
from typing import Any, Final
from uuid import UUID

import asyncpg

from hypernode.governance import store, unlocks
from hypernode.governance.proposals import State
from hypernode.governance.service.cases import Cases
from hypernode.governance.service.proposals import Proposals
from hypernode.governance.service.sitting import Acts
from hypernode.governance.service.supply import Supply
from hypernode.kernel.errors import Conflict, HypernodeError, Unavailable
from hypernode.kernel.times import unix

log = logging.getLogger(__name__)

_AT_ONCE: Final = 100
"""Of each kind, what is done in one go; the rest comes the next time."""


class Duties:
    """Brings proposals, cases and unlocks to where time allows. Several coordinators may do so at once."""

    def __init__(self, acts: Acts, proposals: Proposals, cases: Cases, supply: Supply) -> None:
        self._acts = acts
        self._proposals = proposals
        self._cases = cases
        self._supply = supply

    async def run(self) -> int:
        """Do what is due. Returns how much was done. Raises Unavailable while the database is away."""
        now = self._acts.time(await self._acts.pool.fetchval("select clock_timestamp()"))
        rows = await self._acts.pool.fetch(store.queries.due, now, _AT_ONCE, unlocks.CYCLES, float(unlocks.CYCLE_S))
        done = 0
        for row in rows:
            try:
                await self._do(row, unix(now))
                done += 1
            except Unavailable:
                raise
            except Conflict as error:
                log.debug("%s: %s", _named(row), error)  # somebody else was faster
            except (HypernodeError, asyncpg.IntegrityConstraintViolationError) as error:
                # Also where what governance holds and the ledger differ: then nothing of it happens, and jobs go on.
                log.warning("%s cannot be brought further: %s", _named(row), error)
        return done

    async def _do(self, row: Any, now: int) -> None:
        match row["what"]:
            case "proposal":
                await self._proposal(row["id"], now)
            case "case":
                await self._cases.advance(row["id"])
            case "unlock":
                await self._supply.unlock()

    async def _proposal(self, proposal_id: UUID, now: int) -> None:
        proposal = await self._proposals.find(proposal_id)
        if proposal.state is not State.QUEUED or now >= (proposal.expires_at or 0):
            await self._proposals.finalize(proposal_id)
            return
        try:
            await self._proposals.execute(proposal_id)
        except Unavailable:
            raise
        except HypernodeError:
            await self._proposals.postpone(proposal_id, now)
            raise


def _named(row: Any) -> str:
    return f"{row['what']} {row['id'] or ''}".rstrip()
