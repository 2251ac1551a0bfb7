"""One Ed25519 key is an identity, written in base58, so that a node or a wallet is also a Solana address."""

from __future__ import annotations

import functools
import hashlib
import hmac
import secrets
from typing import NewType

import base58
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from hypernode.kernel.errors import BadSignature, InvalidInput

PublicKey = NewType("PublicKey", str)
"""A 32-byte Ed25519 public key in base58 (43 or 44 characters)."""

SIGNATURE_BYTES = 64


class KeyPair:
    """A private key and the identity it stands for. The private half is never shown by `repr`."""

    __slots__ = ("_key", "public")

    def __init__(self, seed: bytes) -> None:
        """`seed`: the 32 bytes of the private key."""
        self._key = SigningKey(seed)
        self.public = PublicKey(base58.b58encode(bytes(self._key.verify_key)).decode())

    @classmethod
    def generate(cls) -> KeyPair:
        """A new identity from the operating system's randomness."""
        return cls(secrets.token_bytes(32))

    @property
    def seed(self) -> bytes:
        """The private key, for storing it in a file only its owner can read."""
        return bytes(self._key)

    def sign(self, context: str, message: bytes) -> bytes:
        """Sign `message` for one purpose. `context` names the purpose, so a signature made for one is no other's."""
        return self._key.sign(_framed(context, message)).signature

    def derive(self, context: str, message: bytes) -> bytes:
        """32 bytes that only the holder of this key can compute, the same every time (HMAC-SHA256)."""
        return hmac.digest(self.seed, _framed(context, message), "sha256")

    def __repr__(self) -> str:
        return f"KeyPair({self.public})"


def verify(public: str, context: str, message: bytes, signature: bytes) -> None:
    """Raise BadSignature unless `signature` was made by `public` over exactly this context and message."""
    if len(signature) != SIGNATURE_BYTES:
        raise BadSignature(f"an Ed25519 signature has {SIGNATURE_BYTES} bytes, this one {len(signature)}")
    try:
        _verify_key(public).verify(_framed(context, message), signature)
    except (BadSignatureError, ValueError) as error:
        raise BadSignature(f"not signed by {public} for {context!r}") from error


@functools.lru_cache(maxsize=4096)
def _verify_key(public: str) -> VerifyKey:
    return VerifyKey(public_bytes(public))


def public_bytes(public: str) -> bytes:
    """The 32 bytes of a base58 public key. Raises InvalidInput for anything else."""
    try:
        raw = base58.b58decode(public) if len(public) <= 44 else b""
    except ValueError as error:
        raise InvalidInput(f"{public!r} is not base58") from error
    if len(raw) != 32:
        raise InvalidInput(f"{public[:60]!r} is not a 32-byte public key in base58")
    return raw


def _framed(context: str, message: bytes) -> bytes:
    # The length keeps (context, message) pairs from running into each other.
    name = context.encode()
    return b"hypernode\x00" + len(name).to_bytes(2, "big") + name + message


def new_secret(prefix: str, handle: str) -> str:
    """A bearer secret `prefix_handle_random`: the handle finds the row, the 256 random bits prove the right."""
    return f"{prefix}_{handle}_{secrets.token_urlsafe(32)}"


def secret_hash(secret: str) -> bytes:
    """What is stored of a secret. The secret has 256 random bits, so a plain SHA-256 cannot be searched."""
    return hashlib.sha256(secret.encode()).digest()


def same_secret(stored_hash: bytes, offered: str) -> bool:
    """Constant-time comparison of an offered secret with a stored hash."""
    return hmac.compare_digest(stored_hash, secret_hash(offered))
