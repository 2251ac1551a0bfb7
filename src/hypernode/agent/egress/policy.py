"""What a task may reach. Pure: what was asked for and what the name stands for go in, a decision comes out."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from typing import Final

from hypernode.jobs.model import Destination
from hypernode.kernel.addresses import is_public

HOST_CHARS: Final = 253

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NAME: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")
_GLOBAL_UNICAST: Final = ipaddress.IPv6Network("2000::/3")
_IN_DISGUISE: Final = ipaddress.IPv6Network("2002::/16")


def normal_host(text: str) -> str:
    """A host as `allows` compares it: a name in lower case without its final dot, or an address in its usual form.

    Raises ValueError for what is neither.
    """
    name = text.lower().removesuffix(".")
    if ":" in name:
        address = ipaddress.IPv6Address(name)
        if address.scope_id is not None:
            raise ValueError("an address with a zone")
        return str(address)
    try:
        return str(ipaddress.IPv4Address(name))
    except ValueError:
        if len(name) > HOST_CHARS or not _NAME.fullmatch(name):
            raise ValueError("neither a host name nor an address") from None
        return name


def is_address(host: str) -> bool:
    """Whether a normal host is an address rather than a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def allows(destinations: Iterable[Destination], host: str, port: int) -> bool:
    """Whether a normal host and port are among the destinations. An address only equals itself."""
    names = {host}
    if not is_address(host):
        labels = host.split(".")
        names.update("*." + ".".join(labels[start:]) for start in range(1, len(labels)))
    return any(entry.port == port and entry.host in names for entry in destinations)


def reachable(addresses: Sequence[str], own: Sequence[Network]) -> list[str]:
    """Those of a host's addresses that a stranger may be let out to, in their order.

    They are in the public internet, and in no network to which this machine itself belongs (`own`): there would be the
    operator's services and other machines. Version 6 addresses that stand for version 4 ones are left out altogether.
    """
    return [address for address in addresses if is_public(address) and _is_elsewhere(address, own)]


def _is_elsewhere(text: str, own: Sequence[Network]) -> bool:
    address = ipaddress.ip_address(text)
    if address.version == 6 and (address not in _GLOBAL_UNICAST or address in _IN_DISGUISE):
        return False
    return not any(address in network for network in own)
