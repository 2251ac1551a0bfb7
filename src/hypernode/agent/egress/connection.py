"""One connection of a task to its proxy, from the request's head to the last byte."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Final

from hypernode.agent.egress.meter import Meter, UsedUp
from hypernode.agent.egress.refusal import Refused
from hypernode.agent.egress.request import parse
from hypernode.agent.egress.sockets import finish, reset, send
from hypernode.agent.egress.tunnel import IDLE_S, Turn, carry, receive

HEAD_BYTES: Final = 16 << 10
HEAD_S: Final = 10.0
"""For the whole head, however it trickles in."""
LINGER_S: Final = 2.0
"""For a refusal to be read: closing on what a client is still sending would take it away from it."""

_END: Final = b"\r\n\r\n"
_ESTABLISHED: Final = b"HTTP/1.1 200 Connection established\r\n\r\n"

Connect = Callable[[str, int], Awaitable[socket.socket]]
"""Decides about a normal host and port, and connects to it. Raises Refused."""


async def serve(
    inside: socket.socket,
    connect: Connect,
    meter: Meter,
    turn: Turn,
    *,
    head_s: float = HEAD_S,
    idle_s: float = IDLE_S,
) -> None:
    """Answer one connection and close it. Raises UsedUp where the task may carry no more."""
    with inside:
        try:
            head, rest = await _head(inside, turn, head_s)
            request = parse(head)
            if meter.room <= 0:
                raise Refused(403, "egress.used_up", f"the task has used up its {meter.limit_bytes} bytes of egress")
            outside = await connect(request.host, request.port)
        except Refused as refused:
            await _refuse(inside, refused, turn)
            return
        except OSError:
            return  # the task went away
        with outside:
            try:
                if request.tunnel:
                    await send(inside, _ESTABLISHED)
                await carry(inside, outside, request.head + rest, meter, turn, idle_s=idle_s)
            except OSError:
                reset(inside)  # what was cut short must not look as if it were whole
            except (UsedUp, asyncio.CancelledError):
                reset(inside)
                raise


async def _head(inside: socket.socket, turn: Turn, head_s: float) -> tuple[bytes, bytes]:
    """The head, and what came behind it. Raises Refused, OSError."""
    data = b""
    try:
        async with asyncio.timeout(head_s):
            while (end := data.find(_END)) < 0:
                if len(data) >= HEAD_BYTES:
                    raise Refused(431, "egress.too_large", f"a request's head has at most {HEAD_BYTES} bytes")
                more = await receive(inside, HEAD_BYTES - len(data), turn)
                if not more:
                    raise ConnectionError("it ended within its head")
                data += more
    except TimeoutError as error:
        raise Refused(408, "egress.too_slow", f"a request's head has to arrive within {head_s:g} seconds") from error
    return data[:end], data[end + len(_END) :]


async def _refuse(inside: socket.socket, refused: Refused, turn: Turn) -> None:
    """Say so, and read on for a moment."""
    try:
        async with asyncio.timeout(LINGER_S):
            await send(inside, refused.answer)
            finish(inside)
            while await receive(inside, HEAD_BYTES, turn):
                pass
    except OSError:
        pass  # it didn't want to hear
