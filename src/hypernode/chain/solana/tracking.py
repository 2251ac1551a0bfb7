"""Whether a transaction was executed, will be, or never can be: the decision alone, from what nodes say.

Nodes lag, lose answers and repeat old ones, so no single answer decides that a transaction is dead. It can be executed
up to its last valid block height. A node that has seen a *finalized* block beyond that height, then calls the blockhash
invalid, and then still knows nothing of the signature, has seen every block that could hold it. So the order of the
questions counts, and every answer must be as of that finalized slot or later.

Source of the rule: `last_valid_block_height` of getLatestBlockhash, MAX_PROCESSING_AGE of Agave.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Commitment = Literal["processed", "confirmed", "finalized"]

_RANK = {"processed": 0, "confirmed": 1, "finalized": 2}


class Status(msgspec.Struct, frozen=True, rename="camel"):
    """What a node knows of a transaction."""

    slot: int
    err: Any = None
    confirmation_status: Commitment | None = None


class Finalized(msgspec.Struct, frozen=True):
    """A finalized slot, and the height of its block."""

    slot: int
    height: int


class Landed(msgspec.Struct, frozen=True):
    """It was executed, with the commitment that was wanted. `error` is None, or what the runtime says."""

    slot: int
    error: Any


class Expired(msgspec.Struct, frozen=True):
    """It was not executed, and never will be."""


class Tracking:
    """What `nodes` nodes have said about one transaction. More than half of them must agree that it is dead; one that
    knows of it is enough that it is not."""

    def __init__(self, last_valid_height: int, commitment: Commitment, nodes: int) -> None:
        self._last_valid, self._commitment = last_valid_height, commitment
        self._needed = nodes // 2 + 1
        self._beyond: dict[int, int] = {}
        self._invalid: dict[int, int] = {}
        self._dead: set[int] = set()
        self._landed: Landed | None = None

    def finalized(self, node: int, seen: Finalized) -> None:
        """A node's newest finalized block."""
        if seen.height > self._last_valid and node not in self._beyond:
            self._beyond[node] = seen.slot

    def blockhash(self, node: int, context_slot: int, valid: bool) -> None:
        """Whether a node calls the blockhash valid still, as of a slot."""
        beyond = self._beyond.get(node)
        if beyond is not None and context_slot >= beyond and not valid:
            self._invalid.setdefault(node, context_slot)

    def asked_for_status(self, node: int) -> bool:
        """Whether the next status of this node may count as its last word. Ask before the question is sent: an answer
        to an earlier question does not count."""
        return node in self._invalid

    def status(self, node: int, context_slot: int, found: Status | None, *, counts: bool) -> None:
        """What a node knows of the transaction, as of a slot; `counts`: as `asked_for_status` said before."""
        if found is None:
            if counts and context_slot >= self._invalid[node]:
                self._dead.add(node)
            return
        # Seen once, it may still vanish with a fork; but then it can be executed again, and nobody may call it dead
        # before it is looked for anew.
        self._dead.clear()
        self._invalid.pop(node, None)
        if _RANK[found.confirmation_status or "processed"] >= _RANK[self._commitment]:
            self._landed = Landed(found.slot, found.err)

    def past_height(self) -> bool:
        """Whether any node has seen that its time is over: sending it again is of no use then."""
        return bool(self._beyond)

    def verdict(self) -> Landed | Expired | None:
        """What is certain, or None."""
        if self._landed is not None:
            return self._landed
        return Expired() if len(self._dead) >= self._needed else None
