"""The node's process: listens, serves, lets time pass, and tells whoever started it that it is ready."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator

import msgspec
import uvicorn
import uvloop
from solders.hash import Hash

from hypernode.chain.local.application import Application
from hypernode.chain.local.chain import Chain
from hypernode.chain.local.notices import Subscriptions
from hypernode.chain.local.settings import BODY_BYTES, LOOPBACK, REQUESTS, Settings
from hypernode.kernel.errors import HypernodeError, InvalidInput

_PORTS_TRIED = 50
_SHUTDOWN_S = 1
_WS_SIZE = 2 * BODY_BYTES
"""A little more than is taken, so that what is too long is refused with a reason."""


class Ready(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a starting chain tells whoever waits for it, in one line of JSON. `code` is empty once it serves."""

    pid: int
    url: str = ""
    websocket_url: str = ""
    genesis: str = ""
    code: str = ""
    detail: str = ""


async def serve(settings: Settings, ready_fd: int | None) -> None:
    """Serve until a signal. Raises InvalidInput for ports that cannot be had, and for a ledger or a program that cannot
    be used."""
    listeners = _listen(settings.host, settings.port)
    subscriptions = Subscriptions()
    chain = Chain(settings, subscriptions)
    subscriptions.chain = chain
    server = _Server(
        uvicorn.Config(
            # On another address it is meant to be reached from elsewhere, under names that nobody here knows.
            Application(chain, subscriptions, public=settings.host not in LOOPBACK),
            loop="uvloop",
            http="httptools",
            ws="websockets-sansio",
            ws_max_size=_WS_SIZE,
            ws_per_message_deflate=False,
            lifespan="off",
            limit_concurrency=REQUESTS,
            access_log=False,
            server_header=False,
            date_header=False,
            log_config=None,
            timeout_graceful_shutdown=_SHUTDOWN_S,
        )
    )
    port = listeners[0].getsockname()[1]
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    server.ready = Ready(
        pid=os.getpid(),
        url=f"http://{host}:{port}",
        websocket_url=f"ws://{host}:{port + 1}",
        genesis=str(Hash.from_bytes(chain.genesis)),
    )
    server.ready_fd = ready_fd
    try:
        async with _passing_time(chain, server):
            asyncio.get_running_loop().add_reader(sys.stdin, server.parent_said)
            await server.serve(listeners)
    finally:
        chain.close()


class _Server(uvicorn.Server):
    """uvicorn, telling when it has started."""

    ready: Ready
    ready_fd: int | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        if self.started:
            tell(self.ready, self.ready_fd)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on SIGTERM and SIGINT, and go on afterwards: uvicorn's own would raise the signal again, which ends the
        process before the open block is kept."""
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def parent_said(self) -> None:
        """Whoever started this process never says anything: its end of the pipe has closed, as it has ended."""
        asyncio.get_running_loop().remove_reader(sys.stdin)
        self.should_exit = True


def tell(ready: Ready, descriptor: int | None) -> None:
    """One line of JSON to whoever waits for it."""
    if descriptor is not None:
        with contextlib.suppress(BrokenPipeError):  # whoever waited has left
            os.write(descriptor, msgspec.json.encode(ready) + b"\n")
            os.close(descriptor)


@contextlib.asynccontextmanager
async def _passing_time(chain: Chain, server: uvicorn.Server) -> AsyncIterator[None]:
    """Slots that move on by the clock. Should that fail, the server stops: a chain without time is none."""

    async def pass_time() -> None:
        while (wait_s := chain.until_next_slot_s()) != float("inf"):
            await asyncio.sleep(wait_s)
            chain.tick()

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            server.should_exit = True

    task = asyncio.create_task(pass_time())
    task.add_done_callback(ended)
    try:
        yield
    finally:
        if not task.done():
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _listen(host: str, port: int) -> list[socket.socket]:
    """Two ports, one after the other: Solana's clients expect WebSockets on the one after."""
    failure: OSError | None = None
    for _ in range(1 if port else _PORTS_TRIED):
        first: socket.socket | None = None
        try:
            first = _bound(host, port)
            return [first, _bound(host, first.getsockname()[1] + 1)]
        except (OSError, OverflowError) as error:
            failure = error if isinstance(error, OSError) else OSError(str(error))
            if first is not None:
                first.close()
    reason = failure.strerror if failure is not None else "no two free ports"
    raise InvalidInput(f"cannot listen on {host} ports {port} and {port + 1}: {reason}; choose others with --port")


def _bound(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
    except BaseException:
        listener.close()
        raise
    return listener


def run(settings: Settings, ready_fd: int | None) -> int:
    """Run a chain until a signal stops it; the exit code."""
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(settings, ready_fd))
    except HypernodeError as error:
        tell(Ready(os.getpid(), code=error.code, detail=str(error)), ready_fd)
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 0
    return 0
