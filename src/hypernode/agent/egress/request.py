"""The head of a proxy request, read strictly: what cannot be read in one way only is refused."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from hypernode.agent.egress.policy import normal_host
from hypernode.agent.egress.refusal import Refused

HTTP_PORT: Final = 80

_TOKEN: Final = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
_REQUEST: Final = re.compile(rf"({_TOKEN}) ([\x21-\x7e]+) HTTP/1\.([01])")
_FIELD: Final = re.compile(rf"({_TOKEN}):[ \t]*([\t\x20-\x7e\x80-\xff]*)")
_AUTHORITY: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9._-]{1,254}))(?::([0-9]{1,5}))?")
_URL: Final = re.compile(r"http://([^/?#]*)([^#]*)", re.IGNORECASE)
_HOP_BY_HOP: Final = frozenset(
    {"connection", "proxy-connection", "keep-alive", "proxy-authorization", "proxy-authenticate", "te", "upgrade"}
)
_FRAMING: Final = {"content-length", "transfer-encoding"}


class Request(NamedTuple):
    """What is asked for."""

    host: str
    """As `policy.normal_host` gives it."""
    port: int
    tunnel: bool
    """CONNECT: the client wants to be told when the way is free."""
    head: bytes
    """What goes to the host first: for a request of plain HTTP its own head, rewritten; nothing for a tunnel."""


def parse(head: bytes) -> Request:
    """Read a head up to and without its empty line. Raises Refused with status 400.

    A request of plain HTTP becomes the last one on its connection. So wherever its body ends, nothing behind it can
    lead to another host: a connection has one destination for good.
    """
    lines = head.decode("latin-1").split("\r\n")
    found = _REQUEST.fullmatch(lines[0])
    if found is None:
        raise _bad("this is an HTTP proxy; speak HTTP/1.1 to it")
    method, target, minor = found.groups()
    fields = []
    for line in lines[1:]:
        field = _FIELD.fullmatch(line)
        if field is None:
            raise _bad("a header field cannot be read")
        fields.append((field[1], field[2].rstrip(" \t")))
    if method == "CONNECT":
        host, port = _place(target, None)
        return Request(host, port, True, b"")
    url = _URL.fullmatch(target)
    if url is None:
        raise _bad("ask for http://HOST/PATH, or CONNECT to HOST:PORT for anything else")
    host, port = _place(url[1], HTTP_PORT)
    path = url[2] if url[2].startswith("/") else "/" + url[2]
    return Request(host, port, False, _rewritten(method, path, minor, url[1], fields))


def _place(authority: str, default_port: int | None) -> tuple[str, int]:
    found = _AUTHORITY.fullmatch(authority)
    if found is None:
        raise _bad("no host and port can be read from it")
    port = int(found[3]) if found[3] else default_port
    if port is None or not 1 <= port <= 65535:
        raise _bad("name a port from 1 to 65535")
    try:
        return normal_host(found[1] or found[2]), port
    except ValueError as error:
        raise _bad("the host is neither a name nor an address") from error


def _rewritten(method: str, path: str, minor: str, authority: str, fields: list[tuple[str, str]]) -> bytes:
    """The head as the host gets it: for the place it is sent to, whatever `Host` the job has written."""
    dropped = {"host", *_HOP_BY_HOP}
    for name, value in fields:
        if name.lower() in ("connection", "proxy-connection"):
            dropped.update(option.strip().lower() for option in value.split(","))
    dropped -= _FRAMING
    lines = [f"{method} {path} HTTP/1.{minor}", f"Host: {authority}"]
    lines += [f"{name}: {value}" for name, value in fields if name.lower() not in dropped]
    lines += [f"Via: 1.{minor} hypernode", "Connection: close", "", ""]
    return "\r\n".join(lines).encode("latin-1")


def _bad(why: str) -> Refused:
    return Refused(400, "egress.bad_request", why)
