"""The proxy of one task: answers the listening socket inside its network, in bounds that hurt nobody but the task."""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
from typing import Final

from hypernode.agent.egress.connection import HEAD_S, Connect, serve
from hypernode.agent.egress.meter import Meter, UsedUp
from hypernode.agent.egress.refusal import Refused
from hypernode.agent.egress.sockets import readable
from hypernode.agent.egress.tunnel import IDLE_S, Turn

log = logging.getLogger(__name__)

CONNECTIONS: Final = 64
"""At once; further ones wait in the kernel."""
CONNECTIONS_PER_S: Final = 100
"""In the long run, so that a task that only connects and hangs up takes the agent little time."""
SPARE_DESCRIPTORS: Final = 256
"""Of what this process may have open, kept for everything else it does."""
RETRY_S: Final = 0.1
"""After the kernel had no descriptor or memory for another connection; it gives no signal when it has."""
FLUSH_S: Final = 1.0


class Proxy:
    """Runs from its construction on, in the running event loop, until `close`."""

    def __init__(
        self,
        listening: socket.socket,
        connect: Connect,
        limit_bytes: int,
        *,
        head_s: float = HEAD_S,
        idle_s: float = IDLE_S,
    ) -> None:
        """Takes over `listening`. `limit_bytes` bounds what the task sends and receives together."""
        self.meter = Meter(limit_bytes)
        self._listening = listening
        self._connect = connect
        self._head_s, self._idle_s = head_s, idle_s
        self._turn = Turn()
        self._free = asyncio.Semaphore(CONNECTIONS)
        self._connections: set[asyncio.Task[None]] = set()
        self._next = 0.0
        listening.setblocking(False)
        self._accepting = asyncio.create_task(self._accept(), name="egress")

    async def close(self, *, flush: bool = False) -> None:
        """Cut every connection; `meter` is final on return. Idempotent.

        With `flush`, which is for a task that has ended: what it had handed over before goes out first, for at most
        FLUSH_S.
        """
        self._accepting.cancel()
        await asyncio.wait([self._accepting])
        self._listening.close()
        if flush and self._connections:
            await asyncio.wait(self._connections, timeout=FLUSH_S)
        self._cut()
        if self._connections:
            await asyncio.wait(self._connections)

    def _cut(self) -> None:
        for connection in self._connections:
            connection.cancel()

    async def _accept(self) -> None:
        while True:
            await self._free.acquire()
            inside = await self._next_connection()
            connection = asyncio.create_task(self._serve(inside), name="egress-connection")
            self._connections.add(connection)
            connection.add_done_callback(self._ended)

    async def _next_connection(self) -> socket.socket:
        loop = asyncio.get_running_loop()
        while True:
            if (early := self._next - loop.time()) > 0:
                await asyncio.sleep(early)
            await readable(self._listening)
            try:
                inside, _ = self._listening.accept()
            except BlockingIOError:
                continue
            except OSError:
                await asyncio.sleep(RETRY_S)
                continue
            self._next = max(self._next, loop.time() - 1) + 1 / CONNECTIONS_PER_S
            if _is_crowded(inside):
                inside.close()
                await asyncio.sleep(RETRY_S)
                continue
            inside.setblocking(False)
            inside.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return inside

    async def _serve(self, inside: socket.socket) -> None:
        try:
            await serve(inside, self._guarded, self.meter, self._turn, head_s=self._head_s, idle_s=self._idle_s)
        except UsedUp:
            self._cut()

    async def _guarded(self, host: str, port: int) -> socket.socket:
        outside = await self._connect(host, port)
        if _is_crowded(outside):
            outside.close()
            raise Refused(503, "egress.busy", "this node has too many connections open; try again later")
        return outside

    def _ended(self, connection: asyncio.Task[None]) -> None:
        self._connections.discard(connection)
        self._free.release()
        if not connection.cancelled() and (error := connection.exception()) is not None:
            log.error("a connection of a task's proxy failed; report this as a bug", exc_info=error)


def _is_crowded(sock: socket.socket) -> bool:
    """Whether this process has nearly all open that it may: numbers are given out from below."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return allowed != resource.RLIM_INFINITY and sock.fileno() > allowed - SPARE_DESCRIPTORS
