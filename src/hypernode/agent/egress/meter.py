"""How much a task has sent and received, and how much it still may."""

from __future__ import annotations

from hypernode.ledger.receipt import Traffic


class UsedUp(Exception):
    """There is more to carry than the task may."""


class Meter:
    """Bytes between this node and the hosts of one task, as they are handed to the kernel and taken from it."""

    def __init__(self, limit_bytes: int) -> None:
        """`limit_bytes` bounds both directions together; the byte after it is not carried."""
        self.limit_bytes = limit_bytes
        self.sent_bytes = 0
        self.received_bytes = 0
        self.used_up = False
        """Whether something was not carried because of the limit."""

    @property
    def room(self) -> int:
        """Bytes that may still be carried."""
        return self.limit_bytes - self.sent_bytes - self.received_bytes

    @property
    def traffic(self) -> Traffic:
        """As it stands in a receipt."""
        return Traffic(sent_bytes=self.sent_bytes, received_bytes=self.received_bytes)
