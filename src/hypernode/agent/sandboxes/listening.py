"""A listening socket inside another process's network, for an answer from outside of it.

A socket stays in the network in which it was made, whoever holds it. So nothing has to run inside, and neither an
address nor a route leads out: whoever connects there reaches this descriptor, and nothing else.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from typing import NoReturn

from hypernode.agent.sandboxes import namespaces

BACKLOG = 128
BUFFER_BYTES = 128 << 10
"""Of each connection and direction, in the kernel: what a task does not read must not fill the host's memory."""
IP_FREEBIND = 15


def listen_inside(process: int, pidfd: int, port: int) -> int:
    """A descriptor, close-on-exec, of a socket that listens on 127.0.0.1:`port` in the network of a living process.

    `pidfd` is of the same process: its number alone might be another's by now. A child of a moment goes in and hands
    the socket out; the caller stays where it is. Takes some milliseconds. Raises OSError, saying what failed.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        child = os.fork()
        if child == 0:
            _hand_out(theirs, process, pidfd, port)
        theirs.close()
        try:
            message, descriptors, _, _ = socket.recv_fds(ours, 1000, 1)
        finally:
            os.waitpid(child, 0)
    if not descriptors:
        raise OSError(message.decode(errors="replace") or "the child that went inside ended")
    os.set_inheritable(descriptors[0], False)
    return descriptors[0]


def _hand_out(channel: socket.socket, process: int, pidfd: int, port: int) -> NoReturn:
    try:
        namespaces.enter_network(process)
        signal.pidfd_send_signal(pidfd, 0)  # it lives still, so that the number was its own
        with socket.socket() as listening:
            # Its loopback may not be up yet.
            listening.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
            # Connections inherit these, and a fixed size switches growth off.
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
            listening.bind(("127.0.0.1", port))
            listening.listen(BACKLOG)
            socket.send_fds(channel, [b"."], [listening.fileno()])
    except BaseException as error:  # noqa: BLE001 - this copy of the caller must never return into its work
        with contextlib.suppress(OSError):
            channel.send(str(error).encode()[:900])
    finally:
        os._exit(0)
