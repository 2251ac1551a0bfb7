"""Waiting for sockets by hand: so that it is known of every byte whether it went out when a transfer is cut short."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct


async def readable(sock: socket.socket) -> None:
    """Wait until there is something to read, or the end, or an error."""
    loop, descriptor = asyncio.get_running_loop(), sock.fileno()
    future = loop.create_future()
    loop.add_reader(descriptor, _wake, future)
    try:
        await future
    finally:
        loop.remove_reader(descriptor)


async def writable(sock: socket.socket) -> None:
    """Wait until there is room to write, or an error."""
    loop, descriptor = asyncio.get_running_loop(), sock.fileno()
    future = loop.create_future()
    loop.add_writer(descriptor, _wake, future)
    try:
        await future
    finally:
        loop.remove_writer(descriptor)


async def send(sock: socket.socket, data: bytes) -> None:
    """Send all of it. Raises OSError."""
    view = memoryview(data)
    while view:
        try:
            view = view[sock.send(view) :]
        except BlockingIOError:
            await writable(sock)


def finish(sock: socket.socket) -> None:
    """Tell the other end that nothing more comes. It may have gone."""
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_WR)


def reset(sock: socket.socket) -> None:
    """Have the next close tell the other end that this was not the proper end."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
