"""The two drivers: what carries the effects of operations out, blocking and on asyncio. The only I/O of the client
besides files, and the only place that knows httpx.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import ssl
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from typing import Any, Final, TypeVar

import httpx

from hypernode import __version__
from hypernode.client import tls
from hypernode.client.effects import Answer, Effect, Emit, Open, Operation, Read, Request, Send, Sleep, Work
from hypernode.client.errors import AnswerInvalid, CertificateUntrusted, ConfigInvalid, Interrupted
from hypernode.kernel import limits
from hypernode.kernel.errors import HypernodeError

T = TypeVar("T")

ANSWER_BYTES: Final = 64 * limits.MIB
"""An answer that is held in memory; the largest honest one is a page of receipts."""
TIMEOUT_S: Final = 60.0
CONNECT_TIMEOUT_S: Final = 10.0


class Settings:
    """What both drivers build their httpx client from."""

    def __init__(
        self, url: str, key: str | None, certificate: str | os.PathLike[str] | None, timeout_s: float = TIMEOUT_S
    ) -> None:
        self.url = tls.check_url(url)
        self.certificate = certificate
        self.timeout_s = timeout_s
        self.headers = {"user-agent": f"hypernode/{__version__}", "accept": "application/json"}
        if key is not None:
            if not key.isascii() or not key.isprintable() or " " in key:
                raise ConfigInvalid("the API key has characters that no API key has")
            self.headers["authorization"] = f"Bearer {key}"

    def arguments(self) -> dict[str, Any]:
        """Blocks: a pinned certificate is looked at first."""
        secure = self.url.startswith("https:")
        return {
            "headers": self.headers,
            "verify": tls.context(self.url, self.certificate) if secure else tls.nobody(),
            "trust_env": not tls.on_loopback(self.url),
            "timeout": self.timeout(self.timeout_s),
        }

    def timeout(self, read_s: float) -> httpx.Timeout:
        """Timeouts with this one for reading."""
        return httpx.Timeout(
            connect=CONNECT_TIMEOUT_S, read=read_s, write=self.timeout_s, pool=max(self.timeout_s, read_s)
        )


@functools.lru_cache(maxsize=256)
def _absolute(url: str, path: str) -> httpx.URL:
    """Where a path of the coordinator at `url` is. Remembered: making it is half of what building a request costs."""
    base = httpx.URL(url)
    return base.copy_with(raw_path=base.raw_path.rstrip(b"/") + httpx.URL(path).raw_path)


def _parts(url: str, request: Request) -> dict[str, Any]:
    where = _absolute(url, request.path)
    parts: dict[str, Any] = {"method": request.method, "url": where, "headers": dict(request.headers)}
    if request.params:
        parts["params"] = list(request.params)
    if request.content is not None:
        parts["content"] = request.content
    return parts


def _headers(response: httpx.Response) -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}


def _translated(error: httpx.TransportError, url: str) -> Exception:
    """What an httpx error means to an operation."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, ssl.SSLCertVerificationError):
            return CertificateUntrusted(f"{url}: {inner.verify_message}")
        inner = inner.__cause__ or inner.__context__
    unsent = isinstance(
        error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout | httpx.UnsupportedProtocol
    )
    doing = f"cannot connect to {url}" if unsent else f"the connection to {url} broke"
    return Interrupted(f"{doing}: {str(error) or type(error).__name__}", sent=not unsent)


@contextlib.contextmanager
def _translating(url: str) -> Iterator[None]:
    try:
        yield
    except httpx.TransportError as error:
        raise _translated(error, url) from error
    except httpx.DecodingError as error:
        raise AnswerInvalid(f"{url} sends an answer that cannot be decoded: {error}") from error


class _Bounded:
    """Gathers an answer that must fit in memory."""

    def __init__(self) -> None:
        self.data = bytearray()

    def add(self, piece: bytes) -> None:
        self.data += piece
        if len(self.data) > ANSWER_BYTES:
            raise AnswerInvalid(f"the answer is longer than {ANSWER_BYTES} bytes")


class Blocking:
    """Carries out operations in the calling thread. May be used from several threads at once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: httpx.Client | None = None
        self._lock = threading.Lock()

    def run(self, operation: Operation[T]) -> T:
        """The operation's result; what it emits is dropped."""
        steps = self.steps(operation)
        while True:
            try:
                next(steps)
            except StopIteration as stop:
                result: T = stop.value
                return result

    def steps(self, operation: Operation[T]) -> Generator[Any, None, T]:
        """What the operation emits, one by one; then its result."""
        stream = contextlib.ExitStack()
        body: Iterator[bytes] = iter(())
        outcome: Any = None
        error: Exception | None = None
        try:
            while True:
                try:
                    effect: Effect = operation.send(outcome) if error is None else operation.throw(error)
                except StopIteration as stop:
                    result: T = stop.value
                    return result
                outcome, error = None, None
                if isinstance(effect, Emit):
                    yield effect.item
                    continue
                try:
                    if isinstance(effect, Open):
                        stream.close()
                        outcome, body = self._open(effect, stream)
                    elif isinstance(effect, Read):
                        with _translating(self._settings.url):
                            outcome = next(body, b"")
                    else:
                        outcome = self._perform(effect)
                except (HypernodeError, Interrupted) as raised:
                    error = raised
        finally:
            operation.close()
            stream.close()

    def close(self) -> None:
        """Close all connections; the next operation opens new ones."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _perform(self, effect: Send | Sleep | Work) -> Any:
        if isinstance(effect, Sleep):
            return time.sleep(effect.seconds)
        if isinstance(effect, Work):
            return effect.function()
        with (
            _translating(self._settings.url),
            self._connected().stream(**_parts(self._settings.url, effect.request)) as response,
        ):
            return self._whole(response)

    def _open(self, effect: Open, stream: contextlib.ExitStack) -> tuple[Answer, Iterator[bytes]]:
        timeout = self._settings.timeout(effect.read_timeout_s)
        with _translating(self._settings.url):
            response = stream.enter_context(
                self._connected().stream(**_parts(self._settings.url, effect.request), timeout=timeout)
            )
            if not response.is_success:
                return self._whole(response), iter(())
            return Answer(response.status_code, _headers(response), b""), response.iter_bytes()

    def _whole(self, response: httpx.Response) -> Answer:
        content = _Bounded()
        for piece in response.iter_bytes():
            content.add(piece)
        return Answer(response.status_code, _headers(response), bytes(content.data))

    def _connected(self) -> httpx.Client:
        with self._lock:
            if self._client is None:
                self._client = httpx.Client(**self._settings.arguments())
            return self._client


class Asyncio:
    """Carries out operations on the running event loop; what blocks goes to a thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: httpx.AsyncClient | None = None
        self._lock = asyncio.Lock()

    async def run(self, operation: Operation[T]) -> T:
        """The operation's result; what it emits is dropped."""
        result: list[T] = []
        async with contextlib.aclosing(self.steps(operation, result)) as steps:
            async for _ in steps:
                pass
        return result[0]

    async def steps(self, operation: Operation[T], result: list[T] | None = None) -> AsyncGenerator[Any, None]:
        """What the operation emits, one by one; its result goes into `result`."""
        stream = contextlib.AsyncExitStack()
        body: AsyncIterator[bytes] | None = None
        outcome: Any = None
        error: Exception | None = None
        try:
            while True:
                try:
                    effect: Effect = operation.send(outcome) if error is None else operation.throw(error)
                except StopIteration as stop:
                    if result is not None:
                        result.append(stop.value)
                    return
                outcome, error = None, None
                if isinstance(effect, Emit):
                    yield effect.item
                    continue
                try:
                    if isinstance(effect, Open):
                        await stream.aclose()
                        outcome, body = await self._open(effect, stream)
                    elif isinstance(effect, Read):
                        with _translating(self._settings.url):
                            outcome = await anext(body, b"") if body is not None else b""
                    else:
                        outcome = await self._perform(effect)
                except (HypernodeError, Interrupted) as raised:
                    error = raised
        finally:
            operation.close()
            await stream.aclose()

    async def close(self) -> None:
        """Close all connections; the next operation opens new ones."""
        async with self._lock:
            client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _perform(self, effect: Send | Sleep | Work) -> Any:
        if isinstance(effect, Sleep):
            return await asyncio.sleep(effect.seconds)
        if isinstance(effect, Work):
            return await asyncio.to_thread(effect.function)
        client = await self._connected()
        with _translating(self._settings.url):
            async with client.stream(**_parts(self._settings.url, effect.request)) as response:
                return await self._whole(response)

    async def _open(
        self, effect: Open, stream: contextlib.AsyncExitStack
    ) -> tuple[Answer, AsyncIterator[bytes] | None]:
        timeout = self._settings.timeout(effect.read_timeout_s)
        client = await self._connected()
        with _translating(self._settings.url):
            response = await stream.enter_async_context(
                client.stream(**_parts(self._settings.url, effect.request), timeout=timeout)
            )
            if not response.is_success:
                return await self._whole(response), None
            return Answer(response.status_code, _headers(response), b""), response.aiter_bytes()

    async def _whole(self, response: httpx.Response) -> Answer:
        content = _Bounded()
        async for piece in response.aiter_bytes():
            content.add(piece)
        return Answer(response.status_code, _headers(response), bytes(content.data))

    async def _connected(self) -> httpx.AsyncClient:
        async with self._lock:
            if self._client is None:
                arguments = await asyncio.to_thread(self._settings.arguments)
                self._client = httpx.AsyncClient(**arguments)
            return self._client
