"""The loop of the processes that hold a node's tasks."""

from __future__ import annotations

import os
import signal
import socket

import pytest

from hypernode.agent.sandboxes.engine.keeper import Keeper
from hypernode.agent.sandboxes.launcher import Launcher


@pytest.mark.parametrize("kind", [Launcher, Keeper])
def test_what_an_event_has_ended_is_not_heard_any_more(
    kind: type[Launcher | Keeper], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are ready at once, and the first handler closes what the second would read: a task that is released while
    it says something. It used to be the end of the helper, and so of every other task."""
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)  # the test's own stay
    monkeypatch.setattr(signal, "set_wakeup_fd", lambda fd: -1)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    helper = kind(theirs)
    pipes = [os.pipe(), os.pipe()]
    open_still = {reader for reader, _ in pipes}
    heard: list[int] = []

    def handler(mine: int, other: int) -> None:
        heard.append(mine)
        os.read(mine, 1)  # as handlers do: an error if it is closed
        helper._unwatch(other)
        if other in open_still:
            os.close(other)
            open_still.discard(other)
        helper._stopping = True

    (first, first_end), (second, second_end) = pipes
    helper._watch(first, lambda: handler(first, second))
    helper._watch(second, lambda: handler(second, first))
    for end in (first_end, second_end):
        os.write(end, b"x")
    with ours, theirs:
        helper.serve()
    assert len(heard) == 1
    for descriptor in (*open_still, first_end, second_end):
        os.close(descriptor)
