"""Accounts as they were: what commitment levels need, of a runtime that knows the newest state only."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Preimages(Generic[Key, Value]):
    """For each recent slot, what the accounts that changed in it had been before. Slots only grow."""

    def __init__(self) -> None:
        self._slots: deque[tuple[int, dict[Key, Value | None]]] = deque()

    def before_change(self, slot: int, key: Key, value: Value | None) -> None:
        """`key` is about to change in `slot` and is `value` now; the first change of a slot counts."""
        if not self._slots or self._slots[-1][0] != slot:
            self._slots.append((slot, {}))
        self._slots[-1][1].setdefault(key, value)

    def forget(self, slot: int) -> None:
        """Nobody asks any more how it was before the end of `slot`."""
        while self._slots and self._slots[0][0] <= slot:
            self._slots.popleft()

    def changed_since(self, slot: int) -> dict[Key, Value | None]:
        """What everything that changed after `slot` was at its end."""
        found: dict[Key, Value | None] = {}
        for number, values in reversed(self._slots):
            if number <= slot:
                break
            found |= values
        return found

    def at(self, slot: int, key: Key, now: Value | None) -> Value | None:
        """What `key`, which is `now` today, was at the end of `slot`."""
        for number, values in self._slots:
            if number > slot and key in values:
                return values[key]
        return now
