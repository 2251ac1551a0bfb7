"""What an operation may ask of the world. Operations (`operations`, `transfers`) are generators that yield these and
get the answer back; two drivers, one blocking and one on asyncio, carry them out. So the whole behaviour of the
client, its retries and its resumption exist once and can be tested without a network.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import Any, TypeAlias, TypeVar

import msgspec

T = TypeVar("T")


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP request below the coordinator's address. `repeatable`: sending it twice does no more than once."""

    method: str
    path: str
    params: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = {}
    content: bytes | None = None
    repeatable: bool = False


class Answer(msgspec.Struct, frozen=True):
    """What came back; header names are in lower case. `content` is empty for a stream."""

    status: int
    headers: Mapping[str, str]
    content: bytes


class Send(msgspec.Struct, frozen=True):
    """Send a request and read its whole answer → Answer. Raises Interrupted."""

    request: Request


class Open(msgspec.Struct, frozen=True):
    """Send a request and keep its answer open for Read → Answer. An operation has one stream at a time: opening
    another, or ending, closes it. An answer that is not a success is read whole. Raises Interrupted."""

    request: Request
    read_timeout_s: float


class Read(msgspec.Struct, frozen=True):
    """The next bytes of the open stream → bytes, empty at its end. Raises Interrupted."""


class Sleep(msgspec.Struct, frozen=True):
    """Wait → None."""

    seconds: float


class Work(msgspec.Struct, frozen=True):
    """Call something that blocks (files, hashing, uv) → what it returns. Goes to a thread under asyncio."""

    function: Callable[[], Any]


class Emit(msgspec.Struct, frozen=True):
    """Hand one item to whoever iterates over the operation → None."""

    item: Any


Effect: TypeAlias = Send | Open | Read | Sleep | Work | Emit
Operation: TypeAlias = Generator[Effect, Any, T]
