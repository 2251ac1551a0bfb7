"""All of a coordinator's parts, made once and wired together."""

from __future__ import annotations

import functools
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from uuid import UUID

from hypernode.artifacts.filestore import FileStore
from hypernode.artifacts.service import ArtifactService
from hypernode.coordinator.auth import Authenticator
from hypernode.coordinator.keeper import Keeper
from hypernode.coordinator.logins import Logins
from hypernode.coordinator.metrics import Metrics
from hypernode.coordinator.node_socket import NodeSocket
from hypernode.coordinator.reports import Reports
from hypernode.coordinator.scheduler import Scheduler
from hypernode.coordinator.sessions import Sessions, wire
from hypernode.coordinator.settings import Settings
from hypernode.db.pool import Pool
from hypernode.events.hints import Hints
from hypernode.events.service import Feed
from hypernode.files import write_private
from hypernode.governance.service.governance import Governance
from hypernode.images import registry
from hypernode.images.reach import Reach
from hypernode.jobs.logstore import LogStore
from hypernode.jobs.service.attempts import Attempts
from hypernode.jobs.service.cancel import Cancels, LiveAttempt
from hypernode.jobs.service.documents import Documents
from hypernode.jobs.service.end import Endings
from hypernode.jobs.service.fresh import Fresh
from hypernode.jobs.service.images import Images
from hypernode.jobs.service.intake import Intake
from hypernode.jobs.service.jobs import Jobs
from hypernode.jobs.service.lease import Leases
from hypernode.jobs.service.read import Reader
from hypernode.jobs.service.submit import Submissions
from hypernode.kernel.errors import InvalidInput
from hypernode.kernel.ids import uuid7
from hypernode.kernel.keys import KeyPair
from hypernode.ledger.service import Ledger
from hypernode.market.service import Market
from hypernode.nodes.service import Nodes
from hypernode.protocol.messages import Cancel
from hypernode.secrets.sealing import KEY_BYTES, Sealer
from hypernode.secrets.service import Secrets
from hypernode.tenancy.service import Tenancy


class Services:
    """The rooms' services over one pool and one data folder."""

    def __init__(self, settings: Settings, pool: Pool, key: KeyPair, fingerprint: bytes) -> None:
        self.settings: Final = settings
        self.pool: Final = pool
        self.key: Final = key
        self.id: Final[UUID] = uuid7()
        self.metrics: Final = Metrics()
        self.sessions: Final = Sessions()
        hints = Hints()
        documents = Documents()
        fresh = Fresh()
        self.ledger: Final = Ledger(pool)
        self.tenancy: Final = Tenancy(pool)
        self.nodes: Final = Nodes(pool, hints, key, settings.addresses or (settings.url,), fingerprint)
        self.artifacts: Final = ArtifactService(pool, FileStore(settings.data))
        self.market: Final = Market(self.nodes, self.ledger)
        self.governance: Final = Governance(pool, self.ledger, self.tenancy, self.nodes, hints)
        self.secrets: Final = Secrets(pool, hints, load_sealer(settings.data))
        self.logs: Final = LogStore(settings.data)
        self.attempts: Final = Attempts(pool, documents)
        self._submissions = Submissions(pool, self.ledger, self.artifacts, documents, fresh, hints)
        resolve = functools.partial(registry.resolve, reach=_reach(settings.registries))
        intake = Intake(self._submissions, self.market, Images(self.secrets, resolve))
        self._leases = Leases(pool, documents, fresh, hints)
        self._endings = Endings(pool, self.ledger, self.artifacts, documents, hints, key)
        reports = Reports(self._leases, self._endings, self.logs, self.sessions, hints, self.metrics)
        self.jobs: Final = Jobs(
            self._submissions,
            Cancels(pool, self.ledger, hints),
            Reader(pool),
            self.market,
            intake,
            Feed(pool, hints),
            self.logs,
            hints,
            self._tell_cancelled,
        )
        self.authenticator: Final = Authenticator(self.tenancy, self.attempts)
        self.scheduler: Final = Scheduler(
            self._leases, self.sessions, Logins(self.secrets, reports, self.sessions), hints, self.metrics
        )
        self.socket: Final = NodeSocket(
            settings, key, self.id, self.nodes, self.attempts, reports, self.sessions, hints, self.metrics
        )
        self.keeper: Final = Keeper(
            settings,
            self.id,
            pool,
            self.tenancy,
            self.nodes,
            self.attempts,
            self.artifacts,
            self.governance,
            reports,
            self.sessions,
        )

    async def start(self) -> None:
        """Before the first request: what a crash left half-done is put right."""
        await self.artifacts.recover()
        await self.governance.refresh()
        await self.nodes.register_coordinator(self.id, self.key.public, self.settings.grace_ms)

    async def close(self) -> None:
        """After the last request: everything taken in is written."""
        await self._submissions.close()
        await self._leases.close()
        await self._endings.close()
        self.logs.close_all()

    def _tell_cancelled(self, attempts: Sequence[LiveAttempt]) -> None:
        for attempt in attempts:
            session = self.sessions.get(attempt.node)
            if session is not None:
                session.send(Cancel(wire(attempt.ref)))


def load_key(data: Path) -> KeyPair:
    """The coordinator's identity, made at its first start."""
    path = data / "coordinator.key"
    if not path.exists():
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(path, KeyPair.generate().seed)
    return KeyPair(path.read_bytes())


def load_sealer(data: Path) -> Sealer:
    """What seals the secrets of projects; its key is made at the coordinator's first start."""
    path = data / "secrets.key"
    if not path.exists():
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(path, secrets.token_bytes(KEY_BYTES))
    return Sealer(path.read_bytes())


def _reach(registries: Sequence[str]) -> Reach:
    try:
        return Reach(registries)
    except ValueError as error:
        raise InvalidInput(str(error)) from error
