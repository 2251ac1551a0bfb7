"""From the host a task asks for to a connection: decided, looked up once, checked, and made to what was checked."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterable
from typing import Final

from hypernode.agent.egress import policy
from hypernode.agent.egress.networks import networks_of_this_machine
from hypernode.agent.egress.refusal import Refused
from hypernode.jobs.model import Destination

LOOKUPS: Final = 8
"""Of one task at once. A lookup cannot be called off, so a slow name server must not take the agent's own threads."""
LOOKUP_S: Final = 10.0
CONNECT_S: Final = 10.0
"""For each address."""
ADDRESSES: Final = 4
"""Of one host, tried in turn."""
WINDOW_BYTES: Final = 1 << 20
"""What a host may have on its way to a task that doesn't read."""

Lookup = Callable[[str, int], list[str]]


class Reach:
    """What one task can reach."""

    def __init__(
        self,
        destinations: Iterable[Destination],
        *,
        lookup: Lookup | None = None,
        own_networks: Callable[[], list[policy.Network]] | None = None,
    ) -> None:
        """`lookup` (blocking, raises OSError) and `own_networks` are the machine's."""
        self._destinations = tuple(destinations)
        self._lookup = lookup or addresses_of
        self._own_networks = own_networks or networks_of_this_machine
        self._lookups = asyncio.Semaphore(LOOKUPS)

    async def connect(self, host: str, port: int) -> socket.socket:
        """A connection that doesn't block, to a normal host (`policy.normal_host`). Raises Refused."""
        if not policy.allows(self._destinations, host, port):
            raise Refused(
                403, "egress.not_allowed", f"{host} port {port} is not among the job's network.egress destinations"
            )
        found = [host] if policy.is_address(host) else await self._addresses(host, port)
        checked = policy.reachable(found, self._own_networks())[:ADDRESSES]
        if not checked:
            # The same words whether the name exists: what the operator's own name server knows is no job's business.
            raise Refused(403, "egress.not_public", f"{host} has no address in the public internet")
        failed = Refused(502, "egress.unreachable", f"{host} port {port} cannot be reached")
        for address in checked:
            try:
                async with asyncio.timeout(CONNECT_S):
                    return await _connect(address, port)
            except TimeoutError:
                failed = Refused(504, "egress.timeout", f"{host} port {port} does not answer")
            except ConnectionRefusedError:
                failed = Refused(502, "egress.unreachable", f"{host} refuses connections to port {port}")
            except OSError:
                continue
        raise failed

    async def _addresses(self, host: str, port: int) -> list[str]:
        """One lookup in a thread of its own, which keeps its place among LOOKUPS until it really has ended."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[str]] = loop.create_future()

        def ended(result: list[str] | OSError) -> None:
            self._lookups.release()
            if answer.done():
                return
            if isinstance(result, OSError):
                answer.set_exception(result)
            else:
                answer.set_result(result)

        def work() -> None:
            result: list[str] | OSError
            try:
                result = self._lookup(host, port)
            except OSError as error:
                result = error
            except UnicodeError:
                result = []
            with contextlib.suppress(RuntimeError):  # the agent has ended
                loop.call_soon_threadsafe(ended, result)

        try:
            async with asyncio.timeout(LOOKUP_S):
                await self._lookups.acquire()
                try:
                    threading.Thread(target=work, name="egress-lookup", daemon=True).start()
                except RuntimeError as error:  # the machine has no more threads for us
                    self._lookups.release()
                    raise OSError(str(error)) from error
                return await answer
        except TimeoutError as error:
            raise Refused(504, "egress.timeout", f"looking up {host} takes too long") from error
        except socket.gaierror as error:
            if error.errno in (socket.EAI_AGAIN, socket.EAI_FAIL):
                raise Refused(502, "egress.lookup_failed", f"{host} cannot be looked up just now") from error
            return []
        except OSError as error:
            raise Refused(502, "egress.lookup_failed", f"{host} cannot be looked up just now") from error


def addresses_of(host: str, port: int) -> list[str]:
    """What the machine's resolver says. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


async def _connect(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_WINDOW_CLAMP"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_WINDOW_CLAMP, WINDOW_BYTES)
        await asyncio.get_running_loop().sock_connect(sock, (address, port))
    except BaseException:
        sock.close()
        raise
    return sock
