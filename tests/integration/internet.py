"""A little internet for tests, in namespaces that nobody else sees: public addresses, names, and servers behind them.

The main thread moves into a network of its own, whose only route leads to a second one where all addresses live, also
those that no job may reach. So what is refused is refused by decision, not because nothing is there.
"""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CLONE_FS = 0x00000200
CLONE_NEWNS = 0x00020000
CLONE_NEWNET = 0x40000000
MS_REC, MS_PRIVATE, MS_BIND = 16384, 1 << 18, 4096

NODE = "192.168.77.1"
"""The node's own address on its way to the internet."""
NODE_PUBLIC = "11.9.9.9"
"""A public address of the node itself."""
NEIGHBOUR_PUBLIC = "11.9.9.10"
"""Of another machine in the node's network."""
ROUTED = "11.200.0.1"
"""In a network to which the node has a route of its own."""
ALLOWED = "11.1.1.1"
OTHER = "11.1.1.2"
ALLOWED_6 = "2a00:aaaa::1"
PRIVATE = "10.9.9.9"
METADATA = "169.254.169.254"
SHARED = "100.64.9.9"
PRIVATE_6 = "fd99::9"
NAMES = {
    "allowed.example": [ALLOWED],
    "alias.example": [ALLOWED],
    "other.example": [OTHER],
    "six.example": [ALLOWED_6],
    "both.example": [ALLOWED_6, ALLOWED],
    "a.wild.example": [ALLOWED],
    "wild.example": [ALLOWED],
    "rebinding.example": [PRIVATE],
    "mixed.example": [PRIVATE, ALLOWED],
    "metadata.example": [METADATA],
    "loopback.example": ["127.0.0.1"],
    "node.example": [NODE],
    "node-public.example": [NODE_PUBLIC],
    "neighbour.example": [NEIGHBOUR_PUBLIC],
    "routed.example": [ROUTED],
    "shared.example": [SHARED],
    "private-six.example": [PRIVATE_6],
    "mapped.example": [f"::ffff:{PRIVATE}"],
}

_FAR = (ALLOWED, OTHER, ROUTED, PRIVATE, METADATA, SHARED)
_FAR_6 = (ALLOWED_6, PRIVATE_6)
_libc = ctypes.CDLL(None, use_errno=True)


class Internet:
    """While it is entered, the calling thread and what it starts live in it."""

    def __init__(self, far: int, near: int) -> None:
        self._far = far
        self._near = near

    def listen(self, address: str, port: int) -> socket.socket:
        """A listening socket out there; it stays there whoever serves it."""
        _check(_libc.setns(self._far, CLONE_NEWNET), "setns")
        try:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            return socket.create_server((address, port), family=family, backlog=128)
        finally:
            _check(_libc.setns(self._near, CLONE_NEWNET), "setns")


@contextmanager
def internet(folder: Path) -> Iterator[Internet]:
    """Needs root. `folder` is for the file of names."""
    place = os.getcwd()
    home_network, home_mounts = _own("net"), _own("mnt")
    holder: subprocess.Popen[bytes] | None = None
    try:
        _check(_libc.unshare(CLONE_NEWNS | CLONE_NEWNET), "unshare")
        _mount("none", "/", MS_REC | MS_PRIVATE)
        hosts = folder / "hosts"
        lines = [f"{address} {name}" for name, addresses in NAMES.items() for address in addresses]
        hosts.write_text("\n".join(["127.0.0.1 localhost", "::1 localhost", *lines, ""]))
        hosts.chmod(0o644)
        _mount(str(hosts), "/etc/hosts", MS_BIND)
        resolver = folder / "resolv.conf"
        resolver.write_text("nameserver 127.0.0.1\n")  # nobody is there, which shows at once
        _mount(str(resolver), os.path.realpath("/etc/resolv.conf"), MS_BIND)
        near = _own("net")
        _check(_libc.unshare(CLONE_NEWNET), "unshare")
        far = _own("net")
        holder = subprocess.Popen(["sleep", "infinity"])
        _check(_libc.setns(near, CLONE_NEWNET), "setns")
        _build(holder.pid)
        yield Internet(far, near)
        os.close(near)
        os.close(far)
    finally:
        if holder is not None:
            holder.kill()
            holder.wait()
        _check(_libc.setns(home_network, CLONE_NEWNET), "setns")
        _check(_libc.unshare(CLONE_FS), "unshare")  # threads that were started meanwhile share it
        _check(_libc.setns(home_mounts, CLONE_NEWNS), "setns")
        os.chdir(place)
        os.close(home_network)
        os.close(home_mounts)


def _build(far: int) -> None:
    here = [
        "link set lo up",
        f"link add up0 type veth peer name down0 netns {far}",
        f"addr add {NODE}/30 dev up0",
        f"addr add {NODE_PUBLIC}/29 dev up0",
        "addr add fd77::1/64 dev up0 nodad",
        "link set up0 up",
        "route add default via 192.168.77.2",
        "route add 11.200.0.0/16 via 192.168.77.2",
        "-6 route add default via fd77::2",
    ]
    there = [
        "link set lo up",
        "addr add 192.168.77.2/30 dev down0",
        f"addr add {NEIGHBOUR_PUBLIC}/29 dev down0",
        "addr add fd77::2/64 dev down0 nodad",
        "link set down0 up",
        *(f"addr add {address}/32 dev lo" for address in _FAR),
        *(f"addr add {address}/128 dev lo nodad" for address in _FAR_6),
    ]
    for line in here:
        subprocess.run(["ip", *line.split()], check=True)
    for line in there:
        subprocess.run(["nsenter", "-t", str(far), "-n", "ip", *line.split()], check=True)


def _own(kind: str) -> int:
    return os.open(f"/proc/thread-self/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)


def _mount(source: str, target: str, flags: int) -> None:
    _check(_libc.mount(source.encode(), target.encode(), None, ctypes.c_ulong(flags), None), f"mount on {target}")


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
