"""HTTP to the coordinators for the bytes of a lease: authorized by lease tokens, repeated through outages."""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from typing import Final, TypeVar

import httpx

from hypernode.agent import trust
from hypernode.agent.enrol import problem_error
from hypernode.kernel import limits
from hypernode.kernel.errors import HypernodeError, Unavailable
from hypernode.kernel.keys import KeyPair
from hypernode.protocol import tokens
from hypernode.protocol.messages import LeaseRef

log = logging.getLogger(__name__)

T = TypeVar("T")

BACKOFF_S: Final = 0.2
BACKOFF_MAX_S: Final = 10.0
SKEW_S: Final = limits.CLOCK_SKEW_S // 2
"""A clock that is off by less is no reason for a token to be refused."""
TIMEOUT: Final = httpx.Timeout(30.0, connect=10.0)


class Remote:
    """The coordinators' HTTP side. Requests go to the address that is connected, else to the next one in turn."""

    def __init__(
        self,
        addresses: tuple[str, ...],
        key: KeyPair,
        *,
        tls: ssl.SSLContext | None,
        jitter: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`tls` as in Connection. `clock` gives Unix seconds, for the tokens' expiry."""
        self._addresses = tuple(address.rstrip("/") for address in addresses)
        self._turn = 0
        self._key = key
        self._jitter = jitter
        self._clock = clock
        self._skew_s = 0
        """How far the coordinators' clock is ahead of this machine's, once that mattered."""
        direct = all(trust.is_loopback(httpx.URL(address).host) for address in self._addresses)
        self._client = httpx.AsyncClient(
            verify=tls if tls is not None else False,  # without TLS there is nothing to verify: loopback or a proxy
            timeout=TIMEOUT,
            trust_env=not direct,
            limits=httpx.Limits(max_connections=16, max_keepalive_connections=4),
        )

    async def close(self) -> None:
        """End all connections."""
        await self._client.aclose()

    def prefer(self, address: str) -> None:
        """This address is connected: ask it first."""
        if address.rstrip("/") in self._addresses:
            self._turn = self._addresses.index(address.rstrip("/"))

    @asynccontextmanager
    async def request(
        self,
        lease: LeaseRef,
        method: str,
        path: str,
        *,
        headers: dict[str, str] | None = None,
        content: bytes | AsyncIterator[bytes] | None = None,
    ) -> AsyncIterator[httpx.Response]:
        """One request with a fresh token for this lease; the answer's body is still to be read, inside the block.

        Raises Unavailable for what repeating may mend (also when the body breaks off), else what the problem says.
        """
        token = tokens.mint(self._key, lease, int(self._clock()) + self._skew_s)
        authorized = {"Authorization": f"{tokens.SCHEME} {token}", **(headers or {})}
        url = self._addresses[self._turn % len(self._addresses)] + path
        try:
            async with self._client.stream(method, url, headers=authorized, content=content) as answer:
                if not answer.is_success:
                    await _read_bounded(answer)
                    if answer.status_code == 401 and self._adjust_clock(answer.headers.get("date", "")):
                        raise Unavailable("this machine's clock is wrong; tokens go by the coordinator's from now on")
                    raise problem_error(answer)
                yield answer
        except httpx.HTTPError as error:
            self._turn += 1
            raise Unavailable(f"{method} {url}: {str(error) or type(error).__name__}") from error

    def _adjust_clock(self, date: str) -> bool:
        """Whether the answer's date shows that tokens were dated wrongly; they are dated by it from then on."""
        try:
            skew_s = int(parsedate_to_datetime(date).timestamp() - self._clock())
        except ValueError:
            return False
        if abs(skew_s - self._skew_s) < SKEW_S:
            return False
        log.warning("this machine's clock is off by %d s", -skew_s)
        self._skew_s = skew_s
        return True

    async def json(self, lease: LeaseRef, method: str, path: str, *, content: bytes | None = None) -> bytes:
        """One small request with a JSON body, and its answer's body."""
        headers = {"Content-Type": "application/json"} if content is not None else {}
        async with self.request(lease, method, path, headers=headers, content=content) as answer:
            return await _read_bounded(answer)

    async def repeat(self, attempt: Callable[[], Awaitable[T]], *, for_s: float) -> T:
        """Call `attempt` until it succeeds, fails for good, or has failed for `for_s` seconds without a success.

        `attempt` resumes where it was: progress is its own matter. Raises its last error.
        """
        loop = asyncio.get_running_loop()
        give_up = loop.time() + for_s
        failures = 0
        while True:
            try:
                return await attempt()
            except HypernodeError as error:
                if not error.retryable or loop.time() >= give_up:
                    raise
                failures += 1
                ceiling = min(BACKOFF_MAX_S, BACKOFF_S * 2.0 ** min(failures, 16))
                await asyncio.sleep(max(self._jitter() * ceiling, min(error.retry_after_s or 0, 60)))


async def _read_bounded(answer: httpx.Response) -> bytes:
    """A body that is JSON, and so has a bound. Leaves it where httpx expects it."""
    body = bytearray()
    async for piece in answer.aiter_bytes():
        body += piece
        if len(body) > limits.BODY_BYTES:
            raise Unavailable(f"the answer to {answer.request.url.path} is larger than {limits.BODY_BYTES} bytes")
    answer._content = bytes(body)  # what `aread` would set, had it a bound
    return bytes(body)
