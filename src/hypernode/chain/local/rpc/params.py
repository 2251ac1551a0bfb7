"""The parameters that methods share: addresses, commitment, encodings, filters."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any, Literal

import base58
import msgspec
from solders.message import Message, MessageV0, from_bytes_versioned
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction

from hypernode.chain.local.chain import Chain, Commitment
from hypernode.chain.local.rpc.errors import ContextNotReached, InvalidParams
from hypernode.chain.local.settings import FILTER_BYTES, FILTERS, WIRE_BYTES

U64 = Annotated[int, msgspec.Meta(ge=0)]
"""msgspec knows no bound beyond 63 bits; whatever a u64 is used for here has a lower one, or compares only."""
Slot = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
Size = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]
Address = Annotated[str, msgspec.Meta(max_length=44)]
SignatureText = Annotated[str, msgspec.Meta(max_length=88)]
Wire = Annotated[str, msgspec.Meta(max_length=2 * WIRE_BYTES)]
WireEncoding = Literal["base58", "base64"]
AccountEncoding = Literal["base58", "base64", "base64+zstd", "jsonParsed"]


class Context(msgspec.Struct, frozen=True, rename="camel"):
    """As of which commitment is asked, and which slot must have been reached."""

    commitment: Commitment = "finalized"
    min_context_slot: Slot | None = None


class DataSlice(msgspec.Struct, frozen=True):
    """A part of an account's data."""

    offset: Size
    length: Size


class AccountContext(Context, frozen=True, rename="camel"):
    """How accounts are wanted."""

    encoding: AccountEncoding | None = None
    data_slice: DataSlice | None = None


class Memcmp(msgspec.Struct, frozen=True):
    """Bytes that an account's data must have at an offset."""

    offset: Size
    bytes: (
        Annotated[str, msgspec.Meta(max_length=2 * FILTER_BYTES)]
        | Annotated[list[Annotated[int, msgspec.Meta(ge=0, le=255)]], msgspec.Meta(max_length=FILTER_BYTES)]
    )
    encoding: Literal["base58", "base64", "bytes"] = "base58"


class Filter(msgspec.Struct, frozen=True, rename="camel"):
    """One condition on accounts; exactly one of the fields is set."""

    memcmp: Memcmp | None = None
    data_size: U64 | None = None
    token_account_state: msgspec.UnsetType | None = msgspec.UNSET

    def __post_init__(self) -> None:
        if (self.memcmp is None) == (self.data_size is None):
            raise ValueError("a filter is either memcmp or dataSize")


class ProgramContext(AccountContext, frozen=True, rename="camel"):
    """Which accounts of a program are wanted, and how."""

    filters: Annotated[list[Filter], msgspec.Meta(max_length=FILTERS)] | None = None
    with_context: bool = False
    sort_results: bool = True


def at(chain: Chain, context: Context | None) -> int:
    """The slot that an answer is as of. Raises ContextNotReached."""
    context = context or Context()
    slot = chain.slot(context.commitment)
    if context.min_context_slot is not None and context.min_context_slot > slot:
        raise ContextNotReached("Minimum context slot has not been reached", {"contextSlot": slot})
    return slot


def pubkey(text: str) -> Pubkey:
    """Raises InvalidParams."""
    try:
        return Pubkey.from_string(text)
    except ValueError as error:
        raise InvalidParams(f"Invalid param: {_reason(error)}") from error


def signature(text: str) -> str:
    """The signature's text, if it is one. Raises InvalidParams."""
    try:
        return str(Signature.from_string(text))
    except ValueError as error:
        raise InvalidParams(f"Invalid param: {_reason(error)}") from error


def transaction(text: str, encoding: WireEncoding | None) -> VersionedTransaction:
    """A transaction from its bytes. Raises InvalidParams."""
    wire = _decoded(text, encoding or "base58", "transaction")
    try:
        found = VersionedTransaction.from_bytes(wire)
        found.sanitize()
    except Exception as error:
        raise InvalidParams(f"failed to deserialize VersionedTransaction: {error}") from error
    if bytes(found) != wire:
        raise InvalidParams("failed to deserialize VersionedTransaction: there are bytes after its end")
    if not isinstance(found.message, Message | MessageV0):
        raise InvalidParams("invalid transaction: only legacy and version 0 messages are supported")
    return found


def message(text: str) -> Message | MessageV0:
    """A message from base64. Raises InvalidParams."""
    raw = _decoded(text, "base64", "message")
    try:
        found = from_bytes_versioned(raw)
    except Exception as error:
        raise InvalidParams(f"failed to deserialize VersionedMessage: {error}") from error
    if not isinstance(found, Message | MessageV0):
        raise InvalidParams("invalid message: only legacy and version 0 messages are supported")
    return found


def filter_bytes(wanted: Memcmp) -> bytes:
    """The bytes that a filter compares with. Raises InvalidParams."""
    if isinstance(wanted.bytes, list):
        return bytes(wanted.bytes)
    try:
        found = (
            base64.b64decode(wanted.bytes, validate=True)
            if wanted.encoding == "base64"
            else base58.b58decode(wanted.bytes)
        )
    except ValueError as error:
        raise InvalidParams(f"Invalid param: bytes of memcmp: {error}") from error
    if len(found) > FILTER_BYTES:
        raise InvalidParams(f"Invalid param: memcmp compares at most {FILTER_BYTES} bytes")
    return found


def _decoded(text: str, encoding: WireEncoding, what: str) -> bytes:
    try:
        raw = base64.b64decode(text, validate=True) if encoding == "base64" else base58.b58decode(text)
    except (ValueError, binascii.Error) as error:
        raise InvalidParams(f"invalid {encoding} encoding: {error}") from error
    if len(raw) > WIRE_BYTES:
        raise InvalidParams(f"decoded {what} too large: {len(raw)} bytes (max: {WIRE_BYTES} bytes)")
    return raw


def _reason(error: Exception) -> str:
    text: Any = str(error)
    return "WrongSize" if "length" in text or "size" in text.lower() else "Invalid"
