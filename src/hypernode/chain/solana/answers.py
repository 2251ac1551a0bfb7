"""The answers of a node, as they come, and what is taken from them."""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final

import msgspec
from solders.pubkey import Pubkey

from hypernode.chain.solana.errors import RpcAnswerInvalid
from hypernode.chain.solana.rpc import InContext


class Simulation(msgspec.Struct, frozen=True, rename="camel"):
    """What a transaction would do."""

    err: Any = None
    logs: list[str] | None = None
    units_consumed: int | None = None


class ToldAccount(msgspec.Struct, frozen=True):
    """An account, its data in base64."""

    lamports: int
    owner: str
    data: tuple[str, str]
    executable: bool


class ListedAccount(msgspec.Struct, frozen=True):
    """One of several accounts."""

    pubkey: str
    account: ToldAccount


class LatestBlockhash(msgspec.Struct, frozen=True, rename="camel"):
    """The newest blockhash."""

    blockhash: str
    last_valid_block_height: int


class PaidFee(msgspec.Struct, frozen=True, rename="camel"):
    """What was paid for a compute unit in a slot, in millionths of a lamport."""

    slot: int
    prioritization_fee: int


class Meta(msgspec.Struct, frozen=True, rename="camel"):
    """What a transaction did."""

    log_messages: list[str] | None = None


class Executed(msgspec.Struct, frozen=True):
    """A transaction and what it did."""

    meta: Meta | None = None


MAYBE_EXECUTED: Final[Any] = Executed | None
Accounts = InContext[list[ToldAccount | None]]
Latest = InContext[LatestBlockhash]


class Account(msgspec.Struct, frozen=True):
    """An account: its lamports, its data, and the program it belongs to."""

    lamports: int
    owner: str
    data: bytes
    executable: bool


def account_of(told: ToldAccount) -> Account:
    """Raises RpcAnswerInvalid."""
    try:
        data = base64.b64decode(told.data[0], validate=True)
    except binascii.Error as error:
        raise RpcAnswerInvalid("an account's data are not base64") from error
    return Account(told.lamports, told.owner, data, told.executable)


def key_of(text: str) -> Pubkey:
    """Raises RpcAnswerInvalid."""
    try:
        return Pubkey.from_string(text)
    except ValueError as error:
        raise RpcAnswerInvalid(f"{text[:60]!r} is not an address") from error
