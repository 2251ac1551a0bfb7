"""Everything that governance does, wired together."""

from __future__ import annotations

from typing import Final

from hypernode.db.pool import Pool
from hypernode.events.hints import Hints
from hypernode.governance.service.cases import Cases
from hypernode.governance.service.duties import Duties
from hypernode.governance.service.proposals import Proposals
from hypernode.governance.service.sitting import Acts, Clock
from hypernode.governance.service.stakes import Stakes
from hypernode.governance.service.supply import Supply
from hypernode.ledger.service import Ledger
from hypernode.nodes.service import Nodes
from hypernode.tenancy.service import Tenancy


class Governance:
    """Stakes, proposals, cases and the supply over one ledger."""

    def __init__(
        self,
        pool: Pool,
        ledger: Ledger,
        tenancy: Tenancy,
        nodes: Nodes,
        hints: Hints,
        clock: Clock = lambda at: at,
    ) -> None:
        """`clock` makes the time that counts from the database's."""
        acts = Acts(pool, ledger, hints, clock)
        self._ledger = ledger
        self.stakes: Final = Stakes(acts)
        self.proposals: Final = Proposals(acts, tenancy)
        self.cases: Final = Cases(acts, nodes)
        self.supply: Final = Supply(acts)
        self._duties = Duties(acts, self.proposals, self.cases, self.supply)

    async def refresh(self) -> None:
        """Have the prices of new jobs split as the parameters say."""
        self._ledger.shares = (await self.proposals.current()).market

    async def keep(self) -> None:
        """Bring about what time allows, and what was decided elsewhere."""
        await self._duties.run()
        await self.refresh()
