"""Accounts in the encodings of the interface."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import base58
from solders.account import Account
from solders.pubkey import Pubkey

from hypernode.chain.local import tokens
from hypernode.chain.local.rpc.errors import InvalidParams, InvalidRequest
from hypernode.chain.local.rpc.params import AccountContext
from hypernode.chain.local.settings import BASE58_BYTES

RENT_EPOCH = 2**64 - 1
"""Of every account that is exempt from rent, as all are."""

Reader = Callable[[Pubkey], Account | None]


def encoded(account: Account, wanted: AccountContext | None, read: Reader) -> dict[str, Any]:
    """`UiAccount` of Agave. `read` gets other accounts that a parsed form needs. Raises InvalidRequest for data
    too long for base58."""
    return {
        "lamports": account.lamports,
        "owner": str(account.owner),
        "executable": account.executable,
        "rentEpoch": RENT_EPOCH,
        "space": len(account.data),
        "data": _data(account, wanted or AccountContext(), read),
    }


def _data(account: Account, wanted: AccountContext, read: Reader) -> Any:
    if wanted.encoding == "jsonParsed" and (parsed := _parsed(account, read)) is not None:
        return parsed
    if wanted.encoding == "base64+zstd":
        raise InvalidParams("Invalid param: this chain does not compress; ask for base64")
    data = account.data
    if wanted.data_slice is not None:
        data = data[wanted.data_slice.offset :][: wanted.data_slice.length]
    if wanted.encoding in ("base64", "jsonParsed"):
        return [base64.b64encode(data).decode(), "base64"]
    if len(data) > BASE58_BYTES:
        raise InvalidRequest(
            f"Encoded binary (base 58) data should be less than {BASE58_BYTES} bytes, please use Base64 encoding."
        )
    text = base58.b58encode(data).decode()
    return text if wanted.encoding is None else [text, "base58"]


def _parsed(account: Account, read: Reader) -> dict[str, Any] | None:
    """The parsed form of token accounts and mints; None for any other, which then comes in base64, as with Agave."""
    program = tokens.PROGRAMS.get(account.owner)
    mint, holding = tokens.read_mint(account), tokens.read_holding(account)
    if mint is not None:
        kind, info = "mint", _mint(mint)
    elif holding is not None:
        of = tokens.read_mint(read(holding.mint))
        kind, info = "account", parsed_holding(holding, 0 if of is None else of.decimals)
    else:
        return None
    return {"program": program, "parsed": {"type": kind, "info": info}, "space": len(account.data)}


def _mint(mint: tokens.Mint) -> dict[str, Any]:
    return {
        "decimals": mint.decimals,
        "supply": str(mint.supply),
        "isInitialized": mint.initialized,
        "mintAuthority": mint.mint_authority,
        "freezeAuthority": mint.freeze_authority,
    }


def parsed_holding(holding: tokens.Holding, decimals: int) -> dict[str, Any]:
    """`UiTokenAccount` of Agave."""
    native = holding.native_reserve
    info: dict[str, Any] = {
        "mint": str(holding.mint),
        "owner": str(holding.owner),
        "state": holding.state,
        "isNative": native is not None,
        "tokenAmount": tokens.ui_amount(holding.amount, decimals),
    }
    if holding.delegate is not None:
        info["delegate"] = str(holding.delegate)
        info["delegatedAmount"] = tokens.ui_amount(holding.delegated, decimals)
    if native is not None:
        info["rentExemptReserve"] = tokens.ui_amount(native, decimals)
    if holding.close_authority is not None:
        info["closeAuthority"] = holding.close_authority
    return info
