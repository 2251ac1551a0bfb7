"""Which addresses of the internet protocol are everybody's, and which lead into somebody's own network."""

from __future__ import annotations

import ipaddress
from typing import Final

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Version 6 addresses that stand for a version 4 address, and how far from the right that stands in them.
_MAPPED: Final = (
    (ipaddress.IPv6Network("::/96"), 0),
    (ipaddress.IPv6Network("::ffff:0:0/96"), 0),
    (ipaddress.IPv6Network("::ffff:0:0:0/96"), 0),
    (ipaddress.IPv6Network("64:ff9b::/96"), 0),
    (ipaddress.IPv6Network("2002::/16"), 80),
)
# Versions of Python disagree on these, or do not know them: translation prefixes of a network's own, Teredo and other
# protocols, relays, documentation, the segment routing prefix, and the address at which a large cloud tells its own
# machines about themselves. No public service lives there.
_NEVER: Final = tuple(
    ipaddress.ip_network(net)
    for net in (
        *("64:ff9b:1::/48", "2001::/23", "3fff::/20", "5f00::/16", "fec0::/10", "100::/64"),
        *("168.63.129.16/32", "192.0.0.0/24", "192.88.99.0/24"),
    )
)


def is_public(text: str) -> bool:
    """Whether this is the address of one machine in the public internet.

    False for private, shared (100.64.0.0/10), loopback, link-local, multicast, reserved and documentation addresses,
    for version 6 addresses that stand for such a version 4 address, for addresses with a zone, and for what is no
    address at all.
    """
    try:
        address: _Address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if any(address in network for network in _NEVER):
        return False
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return False
        for network, shift in _MAPPED:
            if address in network:
                return is_public(str(ipaddress.IPv4Address(int(address) >> shift & 0xFFFFFFFF)))
    return address.is_global and not address.is_multicast and not address.is_reserved
