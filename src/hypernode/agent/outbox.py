"""What waits to be sent: everything queued goes out in as few frames as the bounds allow. Pure but for one event."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Final

from hypernode.kernel import limits
from hypernode.protocol.messages import Heartbeat, Log, NodeMessage, Refuse, Report

FRAME_TARGET_BYTES: Final = limits.FRAME_BYTES // 2
"""Where a frame is closed. Sizes are estimated; half the bound leaves room for the largest single message."""


class Outbox:
    """Messages in the order they were said. Emptied when the connection breaks: what still matters is said again."""

    def __init__(self) -> None:
        self._messages: deque[NodeMessage] = deque()
        self.filled = asyncio.Event()

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, message: NodeMessage) -> None:
        """Say something."""
        self._messages.append(message)
        self.filled.set()

    def put_all(self, messages: Iterable[NodeMessage]) -> None:
        """Say several things."""
        for message in messages:
            self.put(message)

    def clear(self) -> None:
        """The connection is gone."""
        self._messages.clear()
        self.filled.clear()

    def frame(self) -> list[NodeMessage]:
        """The next frame: as much as waits and fits. Empty when nothing waits."""
        messages: list[NodeMessage] = []
        total = 0
        while self._messages and len(messages) < limits.MESSAGES_PER_FRAME and total < FRAME_TARGET_BYTES:
            message = self._messages.popleft()
            total += size_bytes(message)
            messages.append(message)
        if not self._messages:
            self.filled.clear()
        return messages


def size_bytes(message: NodeMessage) -> int:
    """About how large a message is in a frame; never much too small."""
    match message:
        case Log():
            return len(message.data) + 64
        case Report():
            return len(message.body) + 160
        case Refuse():
            return 4 * len(message.detail) + 160
        case Heartbeat():
            return 40 * (len(message.leases) + len(message.running)) + 16
        case _:
            return 64
