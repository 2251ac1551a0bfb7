"""The answers of a node, as they come."""

from __future__ import annotations

from typing import Any, Final

import msgspec

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
