"""Running a coordinator: database, migrations, application, server, in that order, and back again."""

from __future__ import annotations

import asyncio
import errno
import logging
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import uvicorn

from hypernode.coordinator.app import build_app
from hypernode.coordinator.certificates import ensure_self_signed, fingerprint
from hypernode.coordinator.services import Services, load_key
from hypernode.coordinator.settings import Settings
from hypernode.db import migrate
from hypernode.db.embedded import EmbeddedPostgres
from hypernode.db.pool import create_pool
from hypernode.kernel import limits
from hypernode.kernel.errors import InvalidInput, Unavailable

log = logging.getLogger(__name__)

SHUTDOWN_S: Final = 5
_BACKLOG: Final = 2048


class Running(msgspec.Struct, frozen=True):
    """A coordinator that serves."""

    settings: Settings
    services: Services
    fingerprint: bytes
    """SHA-256 of its certificate, if it made that itself; else empty."""
    postmaster_pid: int | None
    """Of its embedded PostgreSQL."""


async def serve(settings: Settings, on_ready: Callable[[Running], None]) -> None:
    """Serve until told to stop by a signal. `on_ready` is called once requests are answered; port 0 in the settings
    becomes a free one. Raises Unavailable for a database or an address that cannot be had, and whatever ended one of
    the coordinator's loops."""
    main = asyncio.current_task()
    loop = asyncio.get_running_loop()
    if main is not None:
        loop.add_signal_handler(signal.SIGTERM, main.cancel)  # while starting; the server has its own way afterwards
    async with coordinator(settings, on_ready) as server:
        loop.remove_signal_handler(signal.SIGTERM)
        await server.serve()


@asynccontextmanager
async def coordinator(settings: Settings, on_ready: Callable[[Running], None]) -> AsyncIterator[_Server]:
    """A coordinator ready to `serve`, with its database running."""
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    listener = _listen(settings.host, settings.port)
    settings = msgspec.structs.replace(settings, port=listener.getsockname()[1])
    async with AsyncExitStack() as stack:
        stack.callback(listener.close)
        certificate, private_key, digest = _tls(settings)
        postmaster: int | None = None
        dsn = settings.dsn
        supervisor: asyncio.Task[None] | None = None
        if dsn is None:
            database = await stack.enter_async_context(EmbeddedPostgres(settings.data / "database"))
            dsn, postmaster = database.dsn, database.postmaster_pid
            supervisor = asyncio.create_task(database.supervise(), name="database supervisor")
            stack.push_async_callback(_cancel, supervisor)
        await migrate.upgrade(dsn)
        pool = await create_pool(dsn, max_size=settings.pool_size, application_name="hypernode coordinator")
        stack.push_async_callback(pool.close)
        services = Services(settings, pool, load_key(settings.data), digest)
        server = _Server(services, listener, certificate, private_key)
        server.on_started = lambda: on_ready(Running(settings, services, digest, postmaster))
        if supervisor is not None:
            supervisor.add_done_callback(server.stop_for)
        yield server
    if server.failure is not None:
        raise server.failure


class _Server(uvicorn.Server):
    """uvicorn, told from inside when to stop, and telling when it has started."""

    def __init__(
        self, services: Services, listener: socket.socket, certificate: Path | None, private_key: Path | None
    ) -> None:
        self.failure: BaseException | None = None
        self.on_started: Callable[[], None] = lambda: None
        self._listener = listener
        super().__init__(
            uvicorn.Config(
                build_app(services, self.fail),
                loop="uvloop",
                http="httptools",
                ws="websockets-sansio",
                ws_max_size=limits.FRAME_BYTES,
                ws_per_message_deflate=False,
                ws_ping_interval=None,  # heartbeats say more than pings
                lifespan="on",
                access_log=False,
                server_header=False,
                date_header=False,
                log_config=None,
                timeout_graceful_shutdown=SHUTDOWN_S,
                timeout_keep_alive=75,
                h11_max_incomplete_event_size=64 * limits.KIB,
                ssl_certfile=certificate,
                ssl_keyfile=private_key,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        if self.started:
            self.on_started()

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve on the socket that was bound before anything else was started."""
        await super().serve(sockets or [self._listener])
        if not self.started and self.failure is None:
            self.failure = Unavailable("the coordinator did not start; its log says why")

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on SIGTERM and SIGINT, and go on afterwards: uvicorn's own would raise the signal again once it has
        stopped serving, which ends the process before the database is stopped."""
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def fail(self, error: BaseException) -> None:
        """Something that must not end has ended: stop, and let that be the reason."""
        self.failure = self.failure or error
        self.should_exit = True

    def stop_for(self, task: asyncio.Task[None]) -> None:
        """Stop because a task ended that watches over something needed."""
        if not task.cancelled():
            self.fail(task.exception() or Unavailable(f"{task.get_name()} ended"))


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, proto)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        advice = "; choose another with --port" if error.errno == errno.EADDRINUSE else ""
        raise InvalidInput(f"cannot listen on {host} port {port}: {error.strerror or error}{advice}") from error
    listener.listen(_BACKLOG)
    return listener


def _tls(settings: Settings) -> tuple[Path | None, Path | None, bytes]:
    """Certificate, key, and the fingerprint that join tokens carry."""
    if settings.plain:
        return None, None, b""
    if settings.certificate is not None or settings.private_key is not None:
        if settings.certificate is None or settings.private_key is None:
            raise InvalidInput("a certificate and its private key are given together")
        return settings.certificate, settings.private_key, b""
    hosts = (*(_host(url) for url in settings.addresses), settings.host)
    certificate, private_key = ensure_self_signed(settings.data / "tls", hosts)
    return certificate, private_key, fingerprint(certificate)


def _host(url: str) -> str:
    return url.partition("://")[2].partition("/")[0].rsplit(":", 1)[0].strip("[]")


async def _cancel(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
