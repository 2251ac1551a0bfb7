"""A container's output: two streams in frames on one connection, which must be read to its end whatever happens.

An engine whose client stops reading lets the container wait, and then cannot kill, wait for or remove it either. So
reading and delivering are two things here: a slow receiver makes the reader wait only while the task may still run,
and a killed task is read to its end at once, into memory that the log limit bounds.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Final

import httpx

from hypernode.agent.sandboxes.base import STDERR, STDOUT
from hypernode.agent.sandboxes.engine.api import lost
from hypernode.agent.sandboxes.output import OutputLog

HEADER_BYTES: Final = 8
WAITING_BYTES: Final = 256 << 10
"""How much may wait for a slow receiver before the task waits too."""


class Output:
    """What a container writes, from the attached `response` to an OutputLog."""

    def __init__(self, response: httpx.Response, log: OutputLog) -> None:
        self._response = response
        self._log = log
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._waiting_bytes = 0
        self._changed = asyncio.Event()
        self._hurry = False
        self._read = False
        self.begun = asyncio.Event()
        """Something has arrived: the program runs."""

    def hurry(self) -> None:
        """The task has ended or is being killed: read on, however slow the receiver is."""
        self._hurry = True
        self._changed.set()

    async def read(self) -> None:
        """Read to the end. Raises SandboxError `sandbox.engine_lost` if the connection breaks."""
        try:
            async for stream, data in frames(self._response.aiter_raw()):
                self.begun.set()
                kept = await self._log.admit(stream, data)
                if kept:
                    self._waiting.append((stream, kept))
                    self._waiting_bytes += len(kept)
                    self._changed.set()
                while self._waiting_bytes > WAITING_BYTES and not self._hurry:
                    self._changed.clear()
                    await self._changed.wait()
        except (httpx.HTTPError, OSError) as error:
            raise lost(str(error) or type(error).__name__) from error
        finally:
            self._read = True
            self._changed.set()

    async def deliver(self) -> None:
        """Hand on what was read, until there is no more. Raises what the receiver raises."""
        while not (self._read and not self._waiting):
            if not self._waiting:
                self._changed.clear()
                await self._changed.wait()
                continue
            stream, data = self._waiting.popleft()
            self._waiting_bytes -= len(data)
            self._changed.set()
            await self._log.deliver(stream, data)


async def frames(parts: AsyncIterator[bytes]) -> AsyncIterator[tuple[int, bytes]]:
    """Stream number and bytes, as they come, a frame in as many parts as it arrived in. What is neither of our two
    streams is dropped; the end may come anywhere."""
    header = b""
    stream = left = 0
    async for part in parts:
        at = 0
        while at < len(part):
            if left:
                data = part[at : at + left]
                at += len(data)
                left -= len(data)
                if stream in (STDOUT, STDERR):
                    yield stream, data
                continue
            wanted = HEADER_BYTES - len(header)
            header += part[at : at + wanted]
            at += wanted
            if len(header) == HEADER_BYTES:
                stream, left = header[0], int.from_bytes(header[4:], "big")
                header = b""
