"""The recent blockhashes: which a transaction may name, and for how long."""

from __future__ import annotations

from collections import deque

from hypernode.chain.local.settings import HASH_SLOTS, HASHES_KEPT


class BlockhashWindow:
    """One blockhash a slot, of the last HASHES_KEPT slots. Slots only grow."""

    def __init__(self) -> None:
        self._slots: dict[bytes, int] = {}
        self._order: deque[tuple[int, bytes]] = deque()

    def add(self, slot: int, blockhash: bytes) -> None:
        """The hash of a new slot; what is older than the window is forgotten."""
        self._slots[blockhash] = slot
        self._order.append((slot, blockhash))
        while self._order[0][0] < slot - HASHES_KEPT:
            del self._slots[self._order.popleft()[1]]

    def at(self, slot: int) -> tuple[int, bytes]:
        """The newest hash that was known in `slot`, with its own slot."""
        for known in reversed(self._order):
            if known[0] <= slot:
                return known
        return self._order[0]

    def valid(self, blockhash: bytes, slot: int) -> bool:
        """Whether a transaction of `slot` may name this hash: it was known then, and is at most HASH_SLOTS old."""
        born = self._slots.get(blockhash)
        return born is not None and born <= slot <= last_valid(born)

    def newest_first(self) -> list[tuple[int, bytes]]:
        """All that are known, for saving them and for the runtime's own list."""
        return list(reversed(self._order))


def last_valid(slot: int) -> int:
    """The last block height at which the hash of `slot` may be named. Here every slot has a block, so that heights
    are slots."""
    return slot + HASH_SLOTS
