"""Which registries may be talked to: those in the public internet, and the private ones that an operator has named.

Strangers name registries, and we connect to them from inside our own network. Without this they would have us knock at
whatever is there.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable
from typing import Final

from hypernode.images.references import DEFAULT_REGISTRY, is_registry
from hypernode.kernel.addresses import is_public

HTTPS_PORT: Final = 443
HTTP_PORT: Final = 80
ANY_PORT: Final = 0
HUB: Final = "registry-1.docker.io"
ADDRESSES: Final = 16
"""Of a name with more addresses, the rest is not looked at."""


class Unreachable(Exception):
    """The host has no address that may be talked to. `lasting`: asking again later gives the same answer; `private`:
    it has others, which is for the operator to know only."""

    def __init__(self, message: str, *, lasting: bool, private: bool = False) -> None:
        super().__init__(message)
        self.lasting = lasting
        self.private = private


class Reach:
    """Immutable. Everything is asked over https but the registries named with `http://`."""

    def __init__(self, registries: Iterable[str] = ()) -> None:
        """`registries` may have private addresses: `host`, `host:port`, or `http://host:port` for one without
        encryption; `*` stands for any port. A registry whose tokens come from another host needs that one named, too.
        Raises ValueError."""
        self._private: set[tuple[str, int]] = set()
        self._plain: set[tuple[str, int]] = set()
        for text in registries:
            name = text.removeprefix("http://").removesuffix(":*")
            any_port = text.endswith(":*")
            if not is_registry(name) or (any_port and split(name, ANY_PORT)[1] != ANY_PORT):
                raise ValueError(f"{text!r} is not a registry such as registry.lan:5000 or http://127.0.0.1:5000")
            plain = text.startswith("http://")
            place = split(name, ANY_PORT if any_port else HTTP_PORT if plain else HTTPS_PORT)
            self._private.add(place)
            if plain:
                self._plain.add(place)

    def is_plain(self, host: str, port: int) -> bool:
        """Whether http without encryption may be spoken there."""
        return _names(self._plain, host, port)

    def is_plain_registry(self, registry: str) -> bool:
        """The same of a registry as images name it."""
        return self.address(registry)[0] == "http"

    def address(self, registry: str) -> tuple[str, str, int]:
        """How a registry, `host` or `host:port`, is spoken to: scheme, host and port."""
        registry = HUB if registry == DEFAULT_REGISTRY else registry
        host, port = split(registry, HTTPS_PORT)
        if port == HTTPS_PORT and self.is_plain(host, HTTP_PORT) and ":" not in registry.rpartition("]")[2]:
            return "http", host, HTTP_PORT
        return ("http" if self.is_plain(host, port) else "https"), host, port

    async def addresses(self, host: str, port: int) -> list[str]:
        """The addresses of a host that may be talked to, in the resolver's order; at least one.

        Connect to one of these, never to the name: a second look-up may give another answer. Raises Unreachable, with
        the same words whether the name doesn't exist or leads somewhere private: that is nobody else's business.
        """
        loop = asyncio.get_running_loop()
        nowhere = f"{host!r} has no address in the public internet, and the operator has not named it as a registry"
        try:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            if error.errno == socket.EAI_AGAIN:
                raise Unreachable(f"the name {host!r} cannot be looked up just now", lasting=False) from error
            raise Unreachable(nowhere, lasting=True) from error
        except (OSError, UnicodeError) as error:
            raise Unreachable(nowhere, lasting=True) from error
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))[:ADDRESSES]
        if not _names(self._private, host, port):
            addresses = [address for address in addresses if is_public(address)]
        if not addresses:
            raise Unreachable(nowhere, lasting=True, private=True)
        return addresses


def _names(places: set[tuple[str, int]], host: str, port: int) -> bool:
    return not places.isdisjoint({(host.lower(), port), (host.lower(), ANY_PORT)})


def split(registry: str, default_port: int) -> tuple[str, int]:
    """Host, in small letters and without the brackets of an IPv6 address, and port."""
    host, colon, port = registry.rpartition(":")
    if not colon or port.endswith("]"):
        host, port = registry, str(default_port)
    return host.strip("[]").lower(), int(port)
