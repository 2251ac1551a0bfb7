"""The Docker API over a Unix socket, as Docker and Podman speak it. Every call has a deadline.

httpx rather than a client library of the engine's: the agent has it loaded already, attaching needs no more than a
response that is read as it comes, and what an engine may answer wrongly is decoded here into what we expect of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, TypeVar

import httpx
import msgspec

from hypernode.agent.sandboxes.base import SandboxError

T = TypeVar("T")

CALL_S: Final = 30.0
"""For what an engine answers at once."""
START_S: Final = 60.0
"""For starting and removing containers on a busy host."""
GAPS_S: Final = (0.0, 0.1, 0.3, 1.0, 2.0)
"""Before each further try at what an engine failed at."""
FAILED: Final = 500
ANSWER_BYTES: Final = 8 << 20
MESSAGE_CHARS: Final = 600


class Refused(Exception):
    """The engine answered, and the answer is no. `status` is HTTP's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class _Message(msgspec.Struct):
    message: str = ""


class EngineClient:
    """Calls to one engine. Concurrent calls are fine. Opens nothing before the first one."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=8)
        transport = httpx.AsyncHTTPTransport(uds=str(socket), limits=limits)
        self._http = httpx.AsyncClient(transport=transport, base_url="http://engine", trust_env=False)

    async def ask(
        self,
        method: str,
        path: str,
        kind: type[T],
        *,
        body: object = None,
        query: Mapping[str, str | int] | None = None,
        content: bytes | AsyncIterable[bytes] | None = None,
        within_s: float = CALL_S,
    ) -> T:
        """One call and its answer, decoded. `body` goes as JSON, `content` as a tar archive.

        Raises Refused; SandboxError `sandbox.engine_lost` if there is no answer that makes sense within `within_s`.
        """
        data = await self._answer(method, path, body, query, content, within_s)
        try:
            return msgspec.json.decode(data, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise lost(f"{method} {path} was answered with what is no answer: {error}") from error

    async def do(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        query: Mapping[str, str | int] | None = None,
        content: bytes | AsyncIterable[bytes] | None = None,
        within_s: float = CALL_S,
    ) -> None:
        """The same for a call whose answer says nothing more than that it worked."""
        await self._answer(method, path, body, query, content, within_s)

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        query: Mapping[str, str | int] | None = None,
        *,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """What a call answers, as it comes; without a deadline once it has begun. Raises as `ask` does."""
        response = await self.open(method, path, query, body=body, headers=headers)
        try:
            yield _reading(response)
        finally:
            await response.aclose()

    async def open(
        self,
        method: str,
        path: str,
        query: Mapping[str, str | int] | None = None,
        *,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """A response whose body is still to be read, and which the caller closes. Raises as `ask` does."""
        timeout = httpx.Timeout(START_S, read=None)
        request = self._request(method, path, body, query, None, timeout)
        request.headers.update(headers or {})
        try:
            response = await self._http.send(request, stream=True)
        except (httpx.TransportError, OSError) as error:
            raise lost(f"{method} {path}: {_text(error)}") from error
        if response.status_code >= 300:
            try:
                raise await _refusal(response)
            finally:
                await response.aclose()
        return response

    async def close(self) -> None:
        """Drop every connection. Idempotent."""
        await self._http.aclose()

    def _request(
        self,
        method: str,
        path: str,
        body: object,
        query: Mapping[str, str | int] | None,
        content: bytes | AsyncIterable[bytes] | None,
        timeout: httpx.Timeout,
    ) -> httpx.Request:
        headers = {"Content-Type": "application/json" if content is None else "application/x-tar"}
        if body is not None:
            content = msgspec.json.encode(body)
        return self._http.build_request(
            method, path, params=dict(query or {}), content=content, headers=headers, timeout=timeout
        )

    async def _answer(
        self,
        method: str,
        path: str,
        body: object,
        query: Mapping[str, str | int] | None,
        content: bytes | AsyncIterable[bytes] | None,
        within_s: float,
    ) -> bytes:
        request = self._request(method, path, body, query, content, httpx.Timeout(within_s))
        try:
            response = await self._http.send(request, stream=True)
            try:
                if response.status_code >= 300:
                    raise await _refusal(response)
                return await _bounded(response)
            finally:
                await response.aclose()
        except (httpx.TransportError, OSError) as error:
            raise lost(f"{method} {path}: {_text(error)}") from error


async def persistently(call: Callable[[], Awaitable[T]]) -> T:
    """Make a call that may be made twice again while the engine says that it failed, and not that it won't.

    Engines look at what changes as they look, and then say so instead of looking once more. Raises as the call does.
    """
    for gap in GAPS_S:
        try:
            return await call()
        except Refused as error:
            if error.status < FAILED:
                raise
        await asyncio.sleep(gap)
    return await call()


def lost(why: str) -> SandboxError:
    """The engine has gone, or no longer answers as one does."""
    return SandboxError(
        "sandbox.engine_lost", f"the container engine does not answer ({why[:MESSAGE_CHARS]}): see its log"
    )


async def _reading(response: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for data in response.aiter_raw():
            yield data
    except (httpx.TransportError, OSError) as error:
        raise lost(_text(error)) from error


async def _bounded(response: httpx.Response) -> bytes:
    data = bytearray()
    async for part in response.aiter_raw():
        data += part
        if len(data) > ANSWER_BYTES:
            raise lost("its answer has no end")
    return bytes(data)


async def _refusal(response: httpx.Response) -> Refused:
    data = await _bounded(response)
    try:
        said = msgspec.json.decode(data, type=_Message).message
    except (msgspec.DecodeError, UnicodeDecodeError):
        said = data.decode(errors="replace")
    return Refused(response.status_code, " ".join(said.split())[:MESSAGE_CHARS] or f"status {response.status_code}")


def _text(error: BaseException) -> str:
    return str(error) or type(error).__name__
