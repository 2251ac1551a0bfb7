"""Carrying bytes between a task's connection and a host's, metered, both ways at their own pace."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Final

from hypernode.agent.egress.meter import Meter, UsedUp
from hypernode.agent.egress.sockets import finish, readable, send, writable

CHUNK_BYTES: Final = 64 << 10
"""All that is held of a connection and direction outside the kernel: nothing is read before this has gone on."""
IDLE_S: Final = 300.0
"""A connection on which nothing moves for so long is cut."""


class Turn:
    """The turns of one task's connections. In one round of the event loop one of them reads, once: a task that
    floods its proxy shares the agent with the others as fairly as one that doesn't."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    async def __aenter__(self) -> None:
        await self._lock.acquire()
        try:
            await asyncio.sleep(0)
        except BaseException:
            self._lock.release()
            raise

    async def __aexit__(self, *error: object) -> None:
        self._lock.release()


async def carry(
    inside: socket.socket, outside: socket.socket, first: bytes, meter: Meter, turn: Turn, *, idle_s: float = IDLE_S
) -> None:
    """Until both have said that nothing more comes. `first` goes out before what is read from `inside`.

    Raises UsedUp; OSError where the connection broke, TimeoutError (an OSError, too) where nothing moved. Closes
    nothing.
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(idle_s) as idle:

        def moved() -> None:
            if not idle.expired():
                idle.reschedule(loop.time() + idle_s)

        up = asyncio.create_task(_up(inside, outside, first, meter, turn, moved))
        down = asyncio.create_task(_down(inside, outside, meter, turn, moved))
        try:
            await asyncio.gather(up, down)
        finally:
            up.cancel()
            down.cancel()
            await asyncio.gather(up, down, return_exceptions=True)


async def _up(
    inside: socket.socket,
    outside: socket.socket,
    data: bytes,
    meter: Meter,
    turn: Turn,
    moved: Callable[[], None],
) -> None:
    while True:
        try:
            await _send_metered(outside, data, meter, moved)
        except OSError:
            return  # the host listens no more, but what it has said before is still to be read
        data = await receive(inside, CHUNK_BYTES, turn)
        moved()
        if not data:
            finish(outside)
            return


async def _down(
    inside: socket.socket, outside: socket.socket, meter: Meter, turn: Turn, moved: Callable[[], None]
) -> None:
    while True:
        await readable(outside)
        async with turn:
            room = meter.room
            try:
                data = outside.recv(min(CHUNK_BYTES, room)) if room > 0 else outside.recv(1, socket.MSG_PEEK)
            except BlockingIOError:
                continue
            if data and room <= 0:
                meter.used_up = True
                raise UsedUp
            meter.received_bytes += len(data)
        moved()
        if not data:
            finish(inside)
            return
        await send(inside, data)
        moved()


async def receive(sock: socket.socket, size: int, turn: Turn) -> bytes:
    """What there is, at most `size` bytes; nothing at the end. Raises OSError."""
    while True:
        await readable(sock)
        async with turn:
            try:
                return sock.recv(size)
            except BlockingIOError:
                continue


async def _send_metered(sock: socket.socket, data: bytes, meter: Meter, moved: Callable[[], None]) -> None:
    view = memoryview(data)
    while view:
        if meter.room <= 0:
            meter.used_up = True
            raise UsedUp
        try:
            sent = sock.send(view[: meter.room])
        except BlockingIOError:
            await writable(sock)
            continue
        meter.sent_bytes += sent
        view = view[sent:]
        moved()
