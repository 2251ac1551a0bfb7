"""Lease tokens: how a node authorizes an HTTP request for the artifacts of a lease it holds.

A node mints them itself, signed with its key, for a few minutes. The coordinator checks the signature, the expiry and
that this very node holds this very lease at this moment; so a token is worth nothing once the lease has ended.
"""

from __future__ import annotations

import base64
from uuid import UUID

import msgspec

from hypernode.kernel import keys, limits
from hypernode.kernel.errors import Unauthenticated
from hypernode.protocol.messages import LEASE_TOKEN_CONTEXT, LeaseRef

SCHEME = "Lease"
"""`Authorization: Lease <token>`."""


class LeaseToken(msgspec.Struct, frozen=True, array_like=True):
    """What is signed."""

    node: str
    lease: LeaseRef
    expires_at_s: int

    @property
    def job_id(self) -> UUID:
        """The job whose artifacts may be touched."""
        return UUID(bytes=self.lease.job_id)


def mint(key: keys.KeyPair, lease: LeaseRef, now_s: int) -> str:
    """A token for one lease, valid for LEASE_TOKEN_S seconds from `now_s` (Unix time)."""
    body = msgspec.msgpack.encode(LeaseToken(key.public, lease, now_s + limits.LEASE_TOKEN_S))
    return base64.urlsafe_b64encode(key.sign(LEASE_TOKEN_CONTEXT, body) + body).decode()


def read(text: str, now_s: int) -> LeaseToken:
    """Check signature and expiry. Raises Unauthenticated; whether the lease is held is the caller's to check."""
    try:
        raw = base64.b64decode(text, altchars=b"-_", validate=True) if len(text) < 1024 else b""
        token = msgspec.msgpack.decode(raw[keys.SIGNATURE_BYTES :], type=LeaseToken)
        keys.verify(token.node, LEASE_TOKEN_CONTEXT, raw[keys.SIGNATURE_BYTES :], raw[: keys.SIGNATURE_BYTES])
    except Exception as error:
        raise Unauthenticated("not a valid lease token") from error
    if not now_s - limits.CLOCK_SKEW_S <= token.expires_at_s <= now_s + limits.LEASE_TOKEN_S + limits.CLOCK_SKEW_S:
        raise Unauthenticated("the lease token has expired, or the node's clock is off by more than two minutes")
    return token
