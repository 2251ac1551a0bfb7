"""Secrets of projects: how they are set, and what is told about them."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from hypernode.images import references
from hypernode.kernel import decode, limits

NAME_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]*$(?!\n)"


def registry_of(host: str) -> str:
    """A registry as the names of images in it come out: `GHCR.io` is `ghcr.io`. Raises ValueError for anything else
    than the host, perhaps with a port, of a registry."""
    try:
        reference = references.parse(f"{host}/owner/name")
    except ValueError:
        reference = None
    if reference is None or reference.repository != "owner/name":
        raise ValueError("write the registry's host as image names do, as in ghcr.io or registry.example:5000")
    return reference.registry


def check_registry(host: str) -> None:
    """Raise ValueError unless `host` is a registry."""
    registry_of(host)


def check_username(name: str) -> None:
    """Raise ValueError for what HTTP's basic authentication cannot carry."""
    if ":" in name or not name.isprintable():
        raise ValueError("a user name has no ':' and no control characters")


Registry = Annotated[str, Meta(min_length=1, max_length=limits.IMAGE_NAME_CHARS, extra={"check": check_registry})]
Username = Annotated[str, Meta(min_length=1, max_length=256, extra={"check": check_username})]
Password = Annotated[
    str, Meta(min_length=1, max_length=limits.SECRET_CHARS, extra_json_schema={"format": "password", "writeOnly": True})
]


class SecretRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What opens a private image registry. Its `repr` does not show the password."""

    registry: Registry
    username: Username
    password: Password
    kind: Literal["registry"] = "registry"

    def __repr__(self) -> str:
        return f"SecretRequest({self.kind}, {self.registry}, …)"


def secret_request(registry: str, username: str, password: str) -> SecretRequest:
    """A request, checked. Raises InvalidInput with every wrong field."""
    return decode.from_plain({"registry": registry, "username": username, "password": password}, SecretRequest)


class SecretView(msgspec.Struct, frozen=True, kw_only=True):
    """A secret as it is shown: what it is for, never what it holds. Times are RFC 3339 in UTC."""

    name: str
    kind: Literal["registry"]
    registry: str
    created_at: str
    updated_at: str


class SecretList(msgspec.Struct, frozen=True):
    """All secrets of a project, by name."""

    items: list[SecretView]
