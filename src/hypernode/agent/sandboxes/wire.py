"""Messages between the agent and its launcher: one JSON document per SOCK_SEQPACKET message, descriptors beside it.

The socket keeps message boundaries and ties descriptors to their message, so there is no framing to get wrong. JSON
because its decoder is the cheapest one to import: the launcher is forked for every job and has to stay small.
"""

from __future__ import annotations

import array
import json
import os
import socket
from collections.abc import Sequence
from typing import Any

MESSAGE_BYTES = 160 << 10  # below the smallest usual socket buffer
DESCRIPTORS = 4


class MessageTooLarge(ValueError):
    """A message above MESSAGE_BYTES: arguments and environment together are too long."""


def pair() -> tuple[socket.socket, socket.socket]:
    """Two connected ends."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send(sock: socket.socket, message: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
    """Send one message. Raises MessageTooLarge, BlockingIOError on a full non-blocking socket, OSError."""
    data = json.dumps(message).encode()
    if len(data) > MESSAGE_BYTES:
        raise MessageTooLarge(f"{len(data)} bytes, at most {MESSAGE_BYTES}")
    if descriptors:
        socket.send_fds(sock, [data], list(descriptors))
    else:
        sock.send(data)


def receive(sock: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """One message and its descriptors, which the caller now owns (close-on-exec); None at the end of the stream."""
    # Not socket.recv_fds: it drops its flags (python/cpython, 3.11), and an inherited descriptor would reach a job.
    received = array.array("i")
    room = socket.CMSG_LEN(DESCRIPTORS * received.itemsize)
    data, ancillary, _, _ = sock.recvmsg(MESSAGE_BYTES, room, socket.MSG_CMSG_CLOEXEC)
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            received.frombytes(content[: len(content) - len(content) % received.itemsize])
    descriptors = list(received)
    if not data:
        for descriptor in descriptors:
            os.close(descriptor)
        return None
    message: dict[str, Any] = json.loads(data)
    return message, descriptors
