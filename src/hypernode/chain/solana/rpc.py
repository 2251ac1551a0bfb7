"""One of the chain's nodes, asked over JSON-RPC: bounded, typed, and never trusted to answer what was asked."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any, Final, Generic, TypeVar
from urllib.parse import urlsplit

import httpx
import msgspec

from hypernode.chain.solana.errors import RpcAnswerInvalid, RpcRefused, RpcUnreachable

T = TypeVar("T")

ANSWER_BYTES: Final = 32 * 1024 * 1024
_NODE_BEHIND: Final = frozenset({-32004, -32005, -32014, -32016})
"""The node lags or is unhealthy; another, or the same later, may answer."""


class Context(msgspec.Struct, frozen=True):
    """As of which slot an answer is."""

    slot: int


class InContext(msgspec.Struct, Generic[T], frozen=True):
    """An answer that says as of which slot it is."""

    context: Context
    value: T


class _Failure(msgspec.Struct, frozen=True):
    code: int
    message: str = ""
    data: Any = None


class _Answer(msgspec.Struct, frozen=True):
    id: int | str | None = None
    result: msgspec.Raw = msgspec.Raw()
    error: _Failure | None = None


class Node:
    """A node at an URL. `http` is shared with others and closed by whoever made it."""

    def __init__(self, url: str, http: httpx.AsyncClient, timeout_s: float) -> None:
        self._url = url
        # Addresses of nodes often hold a key, which no message and no log may show.
        parts = urlsplit(url)
        self.name = f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")
        self._http, self._timeout_s = http, timeout_s
        self._numbers = itertools.count(1)

    async def call(self, method: str, params: list[Any], kind: type[T]) -> T:
        """The result of a method. Raises RpcUnreachable for no answer, one to another question, a node that is behind
        or too busy; RpcRefused for an error; RpcAnswerInvalid for an answer that is not of `kind`."""
        number = next(self._numbers)
        body = msgspec.json.encode({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
        try:
            # In all: httpx bounds each read alone, and a byte now and then would keep an answer from ever ending.
            async with asyncio.timeout(self._timeout_s):
                raw = await self._post(body)
            answer = msgspec.json.decode(raw, type=_Answer)
        except httpx.HTTPStatusError as error:
            raise RpcUnreachable(f"{self.name}: {method}: status {error.response.status_code}") from None
        except (httpx.HTTPError, httpx.InvalidURL, msgspec.DecodeError, TimeoutError) as error:
            raise RpcUnreachable(f"{self.name}: {method}: {type(error).__name__}") from None
        if answer.id != number:
            raise RpcUnreachable(f"{self.name}: {method}: the answer is to another request")
        if answer.error is not None:
            detail = f"{method}: {answer.error.message}"
            if answer.error.code in _NODE_BEHIND:
                raise RpcUnreachable(f"{self.name}: {detail}")
            raise RpcRefused(detail, answer.error.code, answer.error.data)
        try:
            return msgspec.json.decode(answer.result, type=kind)
        except msgspec.DecodeError as error:
            raise RpcAnswerInvalid(f"{self.name}: {method}: {error}") from error

    async def _post(self, body: bytes) -> bytes:
        headers = {"content-type": "application/json"}
        async with self._http.stream(
            "POST", self._url, content=body, headers=headers, timeout=self._timeout_s
        ) as response:
            response.raise_for_status()
            received = bytearray()
            async for part in response.aiter_bytes():
                received += part
                if len(received) > ANSWER_BYTES:
                    raise httpx.ReadError(f"the answer is longer than {ANSWER_BYTES} bytes")
            return bytes(received)
