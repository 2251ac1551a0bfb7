"""Who is asking: an API key, or a node's token for a lease it holds at this moment."""

from __future__ import annotations

import time
from typing import Any

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from hypernode.httpapi import PUBLIC
from hypernode.jobs.service.attempts import Attempts
from hypernode.kernel.errors import Forbidden, StaleLease, Unauthenticated
from hypernode.protocol import tokens
from hypernode.tenancy.model import Caller, LeaseCaller, ProjectCaller
from hypernode.tenancy.service import Tenancy

MAX_HEADER = 2048


class Authenticator:
    """Turns the Authorization header into who is asking."""

    def __init__(self, tenancy: Tenancy, attempts: Attempts) -> None:
        self._tenancy = tenancy
        self._attempts = attempts

    async def guard(self, connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
        """Before anything of a request is read: who is it? Handlers marked PUBLIC take anyone."""
        if not handler.opt.get(PUBLIC):
            connection.state.caller = await self._authenticate(connection)

    @staticmethod
    async def caller(request: Request[Any, Any, Any]) -> Caller:
        """Who asks: a project, or a node for a lease it holds."""
        caller: Caller = request.state.caller
        return caller

    @staticmethod
    async def project(request: Request[Any, Any, Any]) -> ProjectCaller:
        """Which project asks. Raises Forbidden for a node."""
        caller = request.state.caller
        if not isinstance(caller, ProjectCaller):
            raise Forbidden("a lease gives access to its own artifacts and nothing else")
        return caller

    async def _authenticate(self, connection: ASGIConnection[Any, Any, Any, Any]) -> Caller:
        """Raises Unauthenticated; StaleLease when the node no longer holds the lease."""
        header = connection.headers.get("authorization", "")
        scheme, _, credentials = header.partition(" ")
        if len(header) <= MAX_HEADER and credentials:
            if scheme.lower() == "bearer":
                return await self._tenancy.authenticate(credentials.strip())
            if scheme == tokens.SCHEME:
                return await self._lease(credentials.strip())
        raise Unauthenticated("send `Authorization: Bearer <API key>`")

    async def _lease(self, text: str) -> LeaseCaller:
        token = tokens.read(text, int(time.time()))
        job = await self._attempts.held(token.job_id, token.lease.task, token.lease.epoch, token.node)
        if job is None:
            raise StaleLease("the node does not hold this lease at this moment")
        return LeaseCaller(
            project_id=job.project_id,
            job_id=token.job_id,
            task=token.lease.task,
            epoch=token.lease.epoch,
            node=token.node,
            readable=frozenset(ref.sha256 for ref in job.document.artifacts),
            writable_bytes=self._attempts.writable_bytes(job),
        )
