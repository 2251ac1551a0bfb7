"""A task's output while it runs, and the verdict once it has ended."""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import Awaitable, Callable
from typing import Any

from hypernode.agent.sandboxes.base import REPORT_BYTES, STDERR, OnOutput, Outcome, Reason, Usage

READ_BYTES = 64 << 10
DETAIL_BYTES = 2000


class OutputLog:
    """Counts and delivers a task's output, and has it killed at its limit; what comes after is read and dropped."""

    def __init__(self, limit: int, on_output: OnOutput, on_limit: Callable[[], Awaitable[None]]) -> None:
        self._limit = limit
        self._on_output = on_output
        self._on_limit = on_limit
        self._cut = False
        self.bytes = 0
        self.errors = b""
        """The last of standard error: where bubblewrap says what it could not do."""
        self.report = b""
        """The first of what the program reported."""

    async def drain(self, stream: int, descriptor: int) -> None:
        """Read one stream to its end, which comes when nobody holds its other end any more. Closes it."""
        await _read(descriptor, lambda data: self._take(stream, data))

    async def drain_report(self, descriptor: int) -> None:
        """The same for the report, of which the first REPORT_BYTES are kept."""
        await _read(descriptor, self._take_report)

    async def _take_report(self, data: bytes) -> None:
        self.report += data[: REPORT_BYTES - len(self.report)]

    async def _take(self, stream: int, data: bytes) -> None:
        if kept := await self.admit(stream, data):
            await self.deliver(stream, kept)

    async def admit(self, stream: int, data: bytes) -> bytes:
        """Count what arrived; as much of it as is within the limit. The first byte beyond has the task killed."""
        room = self._limit - self.bytes
        kept = data[:room]
        self.bytes += len(kept)
        if stream == STDERR:
            self.errors = (self.errors + kept)[-DETAIL_BYTES:]
        if len(data) > room and not self._cut:
            self._cut = True
            await self._on_limit()
        return kept

    @property
    def exceeded(self) -> bool:
        """Whether there was more than the limit."""
        return self._cut

    async def deliver(self, stream: int, data: bytes) -> None:
        """Hand on what was admitted, and wait until it has been taken."""
        if inspect.isawaitable(waiting := self._on_output(stream, data)):
            await waiting


async def _read(descriptor: int, take: Callable[[bytes], Awaitable[None]]) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=READ_BYTES)
    pipe = os.fdopen(descriptor, "rb", buffering=0)
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    try:
        while data := await reader.read(READ_BYTES):
            await take(data)
    finally:
        transport.close()


def outcome(answer: dict[str, Any], log: OutputLog) -> Outcome:
    """The launcher's answer and what was said on standard error, as one verdict."""
    if "error" in answer:
        return infrastructure(answer["error"], log)
    reason = Reason(answer["reason"])
    code: int | None = answer["exit_code"]
    detail = ""
    if reason is Reason.INFRASTRUCTURE:
        said = log.errors.decode(errors="replace").strip()
        last = said.rsplit("\n", 1)[-1]
        if last.startswith("bwrap: execvp "):  # everything was ready but the task's own program
            reason, code, detail = Reason.EXITED, 127, last.removeprefix("bwrap: ")
        else:
            detail = last or f"bubblewrap ended with {answer['raw_exit']}"
    elif reason is Reason.EXITED and log.exceeded:  # it had ended by itself before it could be killed for that
        reason, code = Reason.LOG_LIMIT, None
    elif reason is Reason.OUT_OF_MEMORY:
        detail = "a process was killed at the memory limit"
    return Outcome(
        reason=reason,
        exit_code=code,
        signal=code - 128 if code is not None and 128 < code <= 192 else None,
        usage=Usage(
            wall_ms=answer["wall_ms"],
            cpu_ms=answer["cpu_ms"],
            memory_peak_bytes=answer["memory_peak_bytes"],
            log_bytes=log.bytes,
        ),
        disk_full=answer["disk_full"],
        detail=detail,
        report=log.report,
    )


def infrastructure(detail: str, log: OutputLog) -> Outcome:
    """The sandbox failed, and nothing was measured."""
    usage = Usage(wall_ms=0, cpu_ms=0, memory_peak_bytes=0, log_bytes=log.bytes)
    return Outcome(
        reason=Reason.INFRASTRUCTURE, exit_code=None, signal=None, usage=usage, disk_full=False, detail=detail
    )
