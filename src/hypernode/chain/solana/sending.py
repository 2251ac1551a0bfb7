"""Sending a transaction so that it is executed once, over nodes that lag, lose and repeat.

The same signed bytes are sent again and again, which the chain executes once at most. Only when it is certain that they
never will be executed may others be signed; see `tracking.py`. A failure that is reported before anything was sent is
the only one that is believed at once: afterwards, "it would fail" may only mean that it already was executed.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Sequence
from typing import Any, Final

import msgspec

from hypernode.chain.solana.errors import (
    RpcAnswerInvalid,
    RpcRefused,
    RpcUnreachable,
    TransactionExpired,
    TransactionUndecided,
)
from hypernode.chain.solana.rpc import InContext, Node
from hypernode.chain.solana.tracking import Commitment, Finalized, Landed, Status, Tracking
from hypernode.chain.solana.transactions import Signed

RESEND_S: Final = 2.0
POLL_S: Final = 0.4


class EpochInfo(msgspec.Struct, frozen=True, rename="camel"):
    """Where the chain is."""

    absolute_slot: int
    block_height: int


class Pace(msgspec.Struct, frozen=True):
    """How often to send and to ask, in seconds, and how long to go on in all."""

    resend_s: float = RESEND_S
    poll_s: float = POLL_S
    patience_s: float = 180.0


async def follow(nodes: Sequence[Node], signed: Signed, commitment: Commitment, pace: Pace) -> Landed:
    """Send the bytes until they are executed with the wanted commitment, with or without an error of their own.

    Raises TransactionExpired once they never will be, and TransactionUndecided if patience ends before that is known:
    then the same bytes may be followed again, also by another process, and nothing else may be signed in their place.
    """
    tracking, heard = Tracking(signed.last_valid_height, commitment, len(nodes)), asyncio.Event()
    # Each at its own pace: a node that takes its time must not hold up what the others know.
    tasks = [
        asyncio.create_task(_attend(node, number, signed, tracking, pace, heard)) for number, node in enumerate(nodes)
    ]
    try:
        async with asyncio.timeout(pace.patience_s):
            while (verdict := tracking.verdict()) is None:
                await _next(heard, tasks)
    except TimeoutError:
        raise TransactionUndecided(
            f"after {pace.patience_s:.0f} s nobody can say whether {signed.signature} was executed", signed
        ) from None
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    if isinstance(verdict, Landed):
        return verdict
    raise TransactionExpired(f"no block up to {signed.last_valid_height} took {signed.signature}")


async def _attend(
    node: Node, number: int, signed: Signed, tracking: Tracking, pace: Pace, heard: asyncio.Event
) -> None:
    """Send to one node and ask it, again and again."""
    clock = asyncio.get_running_loop().time
    next_send = clock()
    while True:
        due = clock() >= next_send
        if due:
            next_send = clock() + pace.resend_s
            if not tracking.past_height():
                await _send(node, signed)
        await _ask(node, number, signed, tracking, due)
        heard.set()
        await asyncio.sleep(pace.poll_s)


async def _next(heard: asyncio.Event, tasks: Sequence[asyncio.Task[None]]) -> None:
    """Wait until some node has said something. Raises what ended one of the tasks, which never end by themselves."""
    waiting = asyncio.create_task(heard.wait())
    try:
        done, _ = await asyncio.wait([waiting, *tasks], return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
    heard.clear()
    for task in done - {waiting}:
        task.result()


async def _send(node: Node, signed: Signed) -> None:
    # No preflight: once sent, what a simulation says of the same bytes proves nothing.
    config = {"encoding": "base64", "skipPreflight": True, "maxRetries": 0}
    await _tried(node.call("sendTransaction", [base64.b64encode(signed.wire).decode(), config], str))


async def _ask(node: Node, number: int, signed: Signed, tracking: Tracking, due: bool) -> None:
    """Ask one node in the order that `tracking` needs; for the height only when the next sending is due, too, as it
    says nothing new for a minute."""
    counts = tracking.asked_for_status(number)
    config = {"searchTransactionHistory": True}
    found = await _tried(node.call("getSignatureStatuses", [[signed.signature], config], _Statuses))
    if found is not None and len(found.value) == 1:
        tracking.status(number, found.context.slot, found.value[0], counts=counts)
    if not due and not tracking.past_height():
        return
    newest = await _tried(node.call("getEpochInfo", [{"commitment": "finalized"}], EpochInfo))
    if newest is None:
        return
    tracking.finalized(number, Finalized(newest.absolute_slot, newest.block_height))
    if tracking.past_height() and not tracking.asked_for_status(number):
        oldest = await _tried(node.call("getFirstAvailableBlock", [], int))
        if oldest is None or oldest > signed.since_slot:
            return  # it has forgotten what it might have seen, and proves nothing
        processed = {"commitment": "processed"}
        valid = await _tried(node.call("isBlockhashValid", [signed.blockhash, processed], _Validity))
        if valid is not None:
            tracking.blockhash(number, valid.context.slot, valid.value)


_Statuses = InContext[list[Status | None]]
_Validity = InContext[bool]


async def _tried(call: Awaitable[Any]) -> Any:
    """The answer, or None for whatever is wrong with it: the next round asks again."""
    try:
        return await call
    except (RpcUnreachable, RpcRefused, RpcAnswerInvalid):
        return None
