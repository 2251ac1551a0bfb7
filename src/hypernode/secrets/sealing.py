"""How secrets are kept: sealed with a key that is not where they are."""

from __future__ import annotations

import secrets
from typing import Final
from uuid import UUID

import msgspec
from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt,
    crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
)
from nacl.exceptions import CryptoError

from hypernode.kernel.errors import SecretUnreadable

KEY_BYTES: Final = 32

_NONCE_BYTES: Final = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
_PAD_BYTES: Final = 256


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
