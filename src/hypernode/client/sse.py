"""Reading server-sent events (the WHATWG event stream format) from bytes in pieces of any size."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import msgspec

from hypernode.client.errors import AnswerInvalid
from hypernode.kernel import limits

_LINE_END: Final = re.compile(rb"\r\n|\n|\r")


class ServerEvent(msgspec.Struct, frozen=True):
    """One event. `id` is the last id seen so far, as the format wants it."""

    kind: str
    data: str
    id: str


class EventReader:
    """Takes bytes and gives complete events. Comments, which keep the connection alive, give nothing.

    `last_id` is what to send as Last-Event-ID to go on after the last complete event; it outlives a connection,
    while half an event does not: call `reconnected` before feeding bytes of a new one.
    """

    def __init__(self, last_id: str = "") -> None:
        self.last_id = last_id
        self.reconnected()

    def reconnected(self) -> None:
        """Forget an event that was cut off."""
        self._buffer = b""
        self._after_return = False
        self._kind = ""
        self._id = self.last_id
        self._data: list[str] = []
        self._held = 0

    def feed(self, data: bytes) -> Iterator[ServerEvent]:
        """Events completed by `data`. Raises AnswerInvalid for one larger than any honest server sends."""
        if self._after_return and data.startswith(b"\n"):
            data = data[1:]  # the second half of a \r\n that was cut in two
        if data:
            self._after_return = data.endswith(b"\r")
        *lines, self._buffer = _LINE_END.split(self._buffer + data)
        for line in lines:
            event = self._line(line.decode(errors="replace"))
            if event is not None:
                yield event
            self._check_size(0)
        self._check_size(len(self._buffer))

    def _check_size(self, more: int) -> None:
        if self._held + more > limits.BODY_BYTES:
            raise AnswerInvalid("a server-sent event is larger than anything this interface sends")

    def _line(self, line: str) -> ServerEvent | None:
        if not line:
            return self._dispatch()
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            self._kind = value
        elif field == "data":
            self._data.append(value)
            self._held += len(value)
        elif field == "id" and "\x00" not in value:
            self._id = value
        return None

    def _dispatch(self) -> ServerEvent | None:
        kind, data, self._kind, self._data, self._held = self._kind, self._data, "", [], 0
        self.last_id = self._id
        return ServerEvent(kind or "message", "\n".join(data), self.last_id) if data else None
