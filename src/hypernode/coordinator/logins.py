"""Leases of jobs with a private image: sent with the login that opens its registry, read at the moment of sending."""

from __future__ import annotations

from collections.abc import Sequence

from hypernode.coordinator.reports import Reports
from hypernode.coordinator.sessions import Sessions, wire
from hypernode.jobs.endings import Loss
from hypernode.jobs.model import ContainerRuntime
from hypernode.jobs.service.lease import Granted
from hypernode.kernel.errors import HypernodeError
from hypernode.protocol.messages import Lease, RegistryLogin
from hypernode.secrets.service import Secrets, Wanted


class Logins:
    """Adds logins to leases. Nothing of them is kept."""

    def __init__(self, secrets: Secrets, reports: Reports, sessions: Sessions) -> None:
        self._secrets = secrets
        self._reports = reports
        self._sessions = sessions

    @staticmethod
    def needs(grant: Granted) -> bool:
        """Whether a lease's image is opened by a secret."""
        return _wanted(grant) is not None

    async def send(self, grants: Sequence[Granted]) -> None:
        """Send leases that need one and that their nodes are known to hold. A job whose secret is gone, or is by now
        for another registry, fails: no other node would do better.

        If this fails altogether, the nodes never speak of these leases, and so they are given out anew.
        """
        wanted = {grant.ref: one for grant in grants if (one := _wanted(grant)) is not None}
        opened = await self._secrets.open(set(wanted.values()))
        for grant in grants:
            login = opened[wanted[grant.ref]]
            if isinstance(login, HypernodeError):
                await self._reports.lose(Loss(grant.ref, grant.node, login.code, str(login), final=True))
            elif (session := self._sessions.get(grant.node)) is not None and grant.ref in session.leases:
                registry = RegistryLogin(login.username, login.password)
                session.send(Lease(wire(grant.ref), grant.job.data, grant.remaining_cap, registry))


def _wanted(grant: Granted) -> Wanted | None:
    runtime = grant.job.document.runtime
    if not isinstance(runtime, ContainerRuntime) or runtime.registry_secret is None:
        return None
    return Wanted(grant.job.project_id, runtime.registry_secret, runtime.reference.registry)
