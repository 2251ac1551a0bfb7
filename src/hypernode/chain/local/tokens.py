"""Token accounts and mints, read from their bytes (SPL Token's `state.rs`; Token-2022 appends extensions)."""

from __future__ import annotations

import struct
from typing import Any, Final

import msgspec
from solders.account import Account
from solders.pubkey import Pubkey

TOKEN: Final = Pubkey.from_string("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA")
TOKEN_2022: Final = Pubkey.from_string("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb")
PROGRAMS: Final = {TOKEN: "spl-token", TOKEN_2022: "spl-token-2022"}

_MINT_BYTES: Final = 82
_ACCOUNT_BYTES: Final = 165
_KIND_MINT: Final = 1
_KIND_ACCOUNT: Final = 2
_STATES: Final = ("uninitialized", "initialized", "frozen")


class Mint(msgspec.Struct, frozen=True):
    """A kind of token."""

    supply: int
    decimals: int
    initialized: bool
    mint_authority: str | None
    freeze_authority: str | None


class Holding(msgspec.Struct, frozen=True):
    """A token account: who holds how much of which mint."""

    mint: Pubkey
    owner: Pubkey
    amount: int
    delegate: Pubkey | None
    state: str
    native_reserve: int | None
    delegated: int
    close_authority: str | None


def read_mint(account: Account | None) -> Mint | None:
    """The mint in an account, or None where there is none."""
    if account is None or account.owner not in PROGRAMS:
        return None
    data = account.data
    if len(data) != _MINT_BYTES and not (len(data) > _ACCOUNT_BYTES and data[_ACCOUNT_BYTES] == _KIND_MINT):
        return None
    supply, decimals, initialized = struct.unpack_from("<QBB", data, 36)
    return Mint(supply, decimals, bool(initialized), _text(_option(data, 0)), _text(_option(data, 46)))


def read_holding(account: Account | None) -> Holding | None:
    """The token account in an account, or None where there is none or it is not initialized."""
    if account is None or account.owner not in PROGRAMS:
        return None
    data = account.data
    if len(data) != _ACCOUNT_BYTES and not (len(data) > _ACCOUNT_BYTES and data[_ACCOUNT_BYTES] == _KIND_ACCOUNT):
        return None
    (amount,) = struct.unpack_from("<Q", data, 64)
    state = data[108]
    if not 0 < state < len(_STATES):
        return None
    native, reserve, delegated = struct.unpack_from("<IQQ", data, 109)
    return Holding(
        mint=Pubkey.from_bytes(data[:32]),
        owner=Pubkey.from_bytes(data[32:64]),
        amount=amount,
        delegate=_option(data, 72),
        state=_STATES[state],
        native_reserve=reserve if native else None,
        delegated=delegated,
        close_authority=_text(_option(data, 129)),
    )


def ui_amount(amount: int, decimals: int) -> dict[str, Any]:
    """An amount in the form that wallets show. `uiAmount` is a float because the interface defines it so; the amount
    itself is exact."""
    digits = str(amount).rjust(decimals + 1, "0")
    whole, part = (digits[:-decimals], digits[-decimals:].rstrip("0")) if decimals else (digits, "")
    return {
        "amount": str(amount),
        "decimals": decimals,
        "uiAmount": amount / 10**decimals,
        "uiAmountString": f"{whole}.{part}" if part else whole,
    }


def _option(data: bytes, at: int) -> Pubkey | None:
    """A COption<Pubkey>: four bytes that say whether there is one, and its 32."""
    return Pubkey.from_bytes(data[at + 4 : at + 36]) if data[at] else None


def _text(key: Pubkey | None) -> str | None:
    return None if key is None else str(key)
