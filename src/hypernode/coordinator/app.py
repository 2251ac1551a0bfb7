"""The coordinator's ASGI application, composed of the rooms. This file and `compose` show what there is."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from litestar import Litestar, MediaType, Request, Response, Router, asgi, get
from litestar.connection import ASGIConnection
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.handlers import BaseRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme

import hypernode
from hypernode.artifacts.api import ArtifactController, UploadController
from hypernode.coordinator.metrics import Metrics
from hypernode.coordinator.openapi import use_exact_schemas
from hypernode.coordinator.problems import on_error, on_http_error, on_unexpected
from hypernode.coordinator.services import Services
from hypernode.db.pool import is_ready
from hypernode.governance.api.cases import CaseController
from hypernode.governance.api.proposals import ProposalController, parameters
from hypernode.governance.api.stakes import StakeController, distribute, staking
from hypernode.governance.api.supply import burn, burns, supply, unlock
from hypernode.httpapi import PUBLIC
from hypernode.jobs.api import JobController, events
from hypernode.kernel import limits
from hypernode.kernel.errors import HypernodeError, Unavailable
from hypernode.ledger.api import account, receipts, statement
from hypernode.market.api import quote
from hypernode.nodes.api import NodeController
from hypernode.protocol import messages
from hypernode.secrets.api import SecretController
from hypernode.tenancy.api import whoami

log = logging.getLogger(__name__)


class NetworkView(msgspec.Struct, frozen=True):
    """What anyone may know: the version, and the keys that sign receipts."""

    version: str
    coordinator_key: str
    coordinators: list[str]


def build_app(services: Services, on_failure: Callable[[BaseException], None]) -> Litestar:
    """The application. Its loops run within its lifespan; `on_failure` is told when one of them ends unexpectedly."""

    @get("/network", summary="The network", tags=["network"], security=[{}], opt={PUBLIC: True})
    async def network() -> NetworkView:
        """Version, and the public keys that sign receipts."""
        return NetworkView(hypernode.__version__, services.key.public, await services.nodes.coordinator_keys())

    @asgi(messages.PATH, is_mount=False, copy_scope=False)
    async def connect(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await services.socket(scope, receive, send)
        else:
            response = on_error(Request(scope), Unavailable("this address is for the WebSocket of nodes"))
            await response.to_asgi_response(app=None, request=Request(scope))(scope, receive, send)

    # A function, since Litestar copies guards deeply, and a bound method would take its database along.
    async def authenticate(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
        await services.authenticator.guard(connection, handler)

    dependencies = {
        "project": Provide(services.authenticator.project),
        "caller": Provide(services.authenticator.caller),
        **{
            name: Provide(_constant(value), sync_to_thread=False)
            for name, value in {
                "jobs": services.jobs,
                "market": services.market,
                "ledger": services.ledger,
                "nodes": services.nodes,
                "artifacts": services.artifacts,
                "secrets": services.secrets,
                "governance": services.governance,
                "identity": services.key,
            }.items()
        },
    }
    api = Router(
        "/api/v1",
        dependencies=dependencies,
        guards=[authenticate],
        security=[{"apiKey": []}],
        route_handlers=[
            JobController,
            NodeController,
            UploadController,
            ArtifactController,
            SecretController,
            StakeController,
            ProposalController,
            CaseController,
            staking,
            distribute,
            parameters,
            burns,
            burn,
            supply,
            unlock,
            quote,
            receipts,
            account,
            statement,
            events,
            whoami,
            network,
        ],
    )
    app = Litestar(
        route_handlers=[api, connect, _healthz, _readyz(services), _metrics(services.metrics)],
        before_send=[_count_responses(services.metrics)],
        lifespan=[lambda _: _running(services, on_failure)],
        exception_handlers={HypernodeError: on_error, HTTPException: on_http_error, Exception: on_unexpected},
        request_max_body_size=limits.BODY_BYTES,
        openapi_config=_openapi(),
        logging_config=None,
        debug=False,
    )
    use_exact_schemas(app)
    return app


@get("/healthz", summary="Is the process alive", tags=["operations"], media_type=MediaType.TEXT, security=[])
async def _healthz() -> str:
    """The process answers."""
    return "ok\n"


def _readyz(services: Services) -> Any:
    @get("/readyz", summary="Can it serve", tags=["operations"], media_type=MediaType.TEXT, security=[])
    async def readyz() -> str:
        """The database answers."""
        if not await is_ready(services.pool):
            raise Unavailable("the database does not answer", retry_after_s=1)
        return "ready\n"

    return readyz


def _metrics(metrics: Metrics) -> Any:
    @get("/metrics", summary="Prometheus metrics", tags=["operations"], media_type=MediaType.TEXT, security=[])
    async def exposition(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Counters of this coordinator, in the format that Accept asks for."""
        body, content_type = metrics.expose(request.headers.get("accept", ""))
        return Response(body, headers={"content-type": content_type})

    return exposition


def _count_responses(metrics: Metrics) -> Any:
    async def count(message: Any, scope: Any) -> None:
        if message["type"] == "http.response.start":
            # The template of the path, not the path: labels must not grow with what strangers ask for.
            route = scope.get("path_template", "unknown")
            metrics.requests.labels(scope["method"], route, message["status"]).inc()

    return count


@asynccontextmanager
async def _running(services: Services, on_failure: Callable[[BaseException], None]) -> AsyncIterator[None]:
    """The loops, for as long as the application serves."""
    await services.start()
    loops = [
        asyncio.create_task(loop(), name=loop.__qualname__)
        for loop in (
            services.scheduler.run,
            services.keeper.renew,
            services.keeper.sweep,
            services.keeper.govern,
            services.keeper.tidy,
        )
    ]

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            error = task.exception() or RuntimeError("a loop returned")
            log.critical("%s ended: the coordinator stops", task.get_name(), exc_info=error)
            on_failure(error)

    for task in loops:
        task.add_done_callback(ended)
    try:
        yield
    finally:
        await services.socket.stop()
        for task in loops:
            task.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
        await services.close()


def _constant(value: Any) -> Callable[[], Any]:
    def provide() -> Any:
        return value

    return provide


def _openapi() -> OpenAPIConfig:
    return OpenAPIConfig(
        title="Hypernode",
        version=hypernode.__version__,
        description="Submit jobs, follow them, get results you can check. Amounts are integers of µHYPER, times RFC "
        "3339 in UTC, errors RFC 9457 problems with stable codes.",
        path="/schema",
        components=Components(
            security_schemes={
                "apiKey": SecurityScheme(type="http", scheme="bearer", description="A project's API key."),
            }
        ),
    )
