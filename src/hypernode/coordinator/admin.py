"""What the local admin may do: whoever can read the coordinator's data folder, or has its DSN, needs no API key."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final
from uuid import UUID

import msgspec

from hypernode.db import migrate
from hypernode.db.embedded import EmbeddedPostgres
from hypernode.db.pool import Pool, create_pool
from hypernode.events.hints import Hints
from hypernode.governance.service.sitting import Acts
from hypernode.governance.service.supply import Supply
from hypernode.governance.views.supply import UnlockView
from hypernode.kernel.times import rfc3339, rfc3339_or_none
from hypernode.ledger.model import LedgerSummary
from hypernode.ledger.service import Ledger
from hypernode.tenancy.service import Tenancy


class ProjectRow(msgspec.Struct, frozen=True):
    """A project as the admin sees it; amounts are µHYPER."""

    id: str
    name: str
    available: int
    escrow: int
    created_at: str


class KeyRow(msgspec.Struct, frozen=True):
    """An API key, without its secret."""

    handle: str
    name: str
    project: str
    created_at: str
    revoked_at: str | None


class Admin:
    """Projects, keys, deposits and the ledger's sums, straight on the database."""

    def __init__(self, pool: Pool) -> None:
        self._tenancy: Final = Tenancy(pool)
        self._ledger: Final = Ledger(pool)
        self._supply: Final = Supply(Acts(pool, self._ledger, Hints()))

    async def create_project(self, name: str) -> UUID:
        """A new project. Raises Conflict when there is one of that name."""
        return await self._tenancy.create_project(name)

    async def projects(self) -> list[ProjectRow]:
        """All projects with their balances."""
        return [
            ProjectRow(str(row["id"]), row["name"], row["available"], row["escrow"], rfc3339(row["created_at"]))
            for row in await self._tenancy.projects()
        ]

    async def create_key(self, project: str, name: str) -> str:
        """A new API key of a project, shown this once."""
        return await self._tenancy.create_key(await self._tenancy.project(project), name)

    async def keys(self) -> list[KeyRow]:
        """All API keys."""
        return [
            KeyRow(
                row["handle"],
                row["name"],
                row["project"],
                rfc3339(row["created_at"]),
                rfc3339_or_none(row["revoked_at"]),
            )
            for row in await self._tenancy.keys()
        ]

    async def revoke_key(self, handle: str) -> None:
        """End an API key; it may be good for two more seconds."""
        await self._tenancy.revoke_key(handle)

    async def deposit(self, project: str, amount: int) -> None:
        """Give a project money, in µHYPER."""
        await self._ledger.deposit(await self._tenancy.project(project), amount)

    async def ledger(self) -> LedgerSummary:
        """The whole ledger in sums, and whether it adds up."""
        return await self._ledger.summary()

    async def begin_vesting(self) -> int:
        """Lock what comes free in cycles. Returns how much, in µHYPER. Raises Conflict when it has begun."""
        return (await self._supply.begin_vesting()).left

    async def unlock(self) -> UnlockView:
        """Unlock the next cycle. Raises UnlockNotDue."""
        return await self._supply.unlock()

    async def spend_operations(self, project: str, amount: int) -> None:
        """Pay a project out of operations, in µHYPER. Raises FundTooSmall."""
        await self._supply.spend_operations(await self._tenancy.project(project), amount)


@asynccontextmanager
async def administer(data: Path, dsn: str | None = None) -> AsyncIterator[Admin]:
    """Open the database of a coordinator, whether it is running or not."""
    async with AsyncExitStack() as stack:
        if dsn is None:
            data.mkdir(mode=0o700, parents=True, exist_ok=True)
            server = await stack.enter_async_context(EmbeddedPostgres(data / "database"))
            dsn = server.dsn
        await migrate.upgrade(dsn)
        pool = await create_pool(dsn, min_size=1, max_size=2, application_name="hypernode admin")
        stack.push_async_callback(pool.close)
        yield Admin(pool)
