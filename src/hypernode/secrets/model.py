"""Secrets of projects: what is told about them, what they hold, and how they are sealed for keeping."""

from __future__ import annotations

import secrets
from typing import Annotated, Final, Literal
from uuid import UUID

import msgspec
from msgspec import Meta
from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt,
    crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
)
from nacl.exceptions import CryptoError

from hypernode.images import references
from hypernode.kernel import limits
from hypernode.kernel.errors import SecretUnreadable

NAME_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]*$(?!\n)"
KEY_BYTES: Final = 32

_NONCE_BYTES: Final = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
_PAD_BYTES: Final = 256


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


class Login(msgspec.Struct, frozen=True, array_like=True):
    """User name and password, as they are sealed. Not shown by `repr`."""

    username: str
    password: str

    def __repr__(self) -> str:
        return "Login(…)"


class Sealer:
    """Seals logins with XChaCha20-Poly1305. What is sealed opens only under the same key, and only for the project,
    name and registry that it was sealed for, so that no row can be passed off as another."""

    def __init__(self, key: bytes) -> None:
        """`key`: KEY_BYTES random bytes."""
        if len(key) != KEY_BYTES:
            raise ValueError(f"a key for secrets has {KEY_BYTES} bytes, this one {len(key)}")
        self._key = key

    def seal(self, project_id: UUID, name: str, registry: str, login: Login) -> bytes:
        """The login, unreadable. Its length says little about the password's."""
        plain = msgspec.msgpack.encode(login)
        padded = msgspec.msgpack.encode((plain, b"\x00" * (-len(plain) % _PAD_BYTES)))
        nonce = secrets.token_bytes(_NONCE_BYTES)
        about = _about(project_id, name, registry)
        return nonce + crypto_aead_xchacha20poly1305_ietf_encrypt(padded, about, nonce, self._key)

    def open(self, project_id: UUID, name: str, registry: str, sealed: bytes) -> Login:
        """The login again. Raises SecretUnreadable for what was sealed with another key or for something else."""
        nonce, sealed = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            padded = crypto_aead_xchacha20poly1305_ietf_decrypt(
                sealed, _about(project_id, name, registry), nonce, self._key
            )
            plain, _ = msgspec.msgpack.decode(padded, type=tuple[bytes, bytes])
            return msgspec.msgpack.decode(plain, type=Login)
        except (CryptoError, ValueError, TypeError) as error:
            raise SecretUnreadable(f"secret {name!r} cannot be opened; set it again") from error

    def __repr__(self) -> str:
        return "Sealer(…)"


def _about(project_id: UUID, name: str, registry: str) -> bytes:
    return msgspec.msgpack.encode(("secret v1", project_id.bytes, name, registry))
