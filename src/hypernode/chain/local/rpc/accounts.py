"""Methods about accounts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

import msgspec
from solders.account import Account
from solders.pubkey import Pubkey

from hypernode.chain.local.chain import Chain
from hypernode.chain.local.rpc.dispatch import Methods
from hypernode.chain.local.rpc.encoding import encoded
from hypernode.chain.local.rpc.errors import InvalidRequest
from hypernode.chain.local.rpc.params import (
    AccountContext,
    Address,
    Context,
    Filter,
    ProgramContext,
    Size,
    at,
    filter_bytes,
    pubkey,
)
from hypernode.chain.local.settings import ANSWER_BYTES, MULTIPLE_ACCOUNTS, PROGRAM_BYTES

API_VERSION = "4.1.0"
"""Of Agave: the one whose runtime this is."""

methods = Methods()


def with_context(slot: int, value: Any) -> dict[str, Any]:
    """A result with the slot it is as of."""
    return {"context": {"slot": slot, "apiVersion": API_VERSION}, "value": value}


@methods.add("getBalance")
def get_balance(chain: Chain, address: Address, context: Context | None = None) -> Any:
    """An account's lamports."""
    slot = at(chain, context)
    account = chain.bank.account(pubkey(address), slot)
    return with_context(slot, 0 if account is None else account.lamports)


@methods.add("getAccountInfo")
def get_account_info(chain: Chain, address: Address, context: AccountContext | None = None) -> Any:
    """An account, or null."""
    slot = at(chain, context)
    return with_context(slot, shown(chain, chain.bank.account(pubkey(address), slot), context, slot))


@methods.add("getMultipleAccounts")
def get_multiple_accounts(
    chain: Chain,
    addresses: Annotated[list[Address], msgspec.Meta(max_length=MULTIPLE_ACCOUNTS)],
    context: AccountContext | None = None,
) -> Any:
    """Several accounts, each or null."""
    slot = at(chain, context)
    found = [chain.bank.account(key, slot) for key in [pubkey(address) for address in addresses]]
    _bounded(found, context)
    return with_context(slot, [shown(chain, account, context, slot) for account in found])


@methods.add("getProgramAccounts")
def get_program_accounts(chain: Chain, program: Address, context: ProgramContext | None = None) -> Any:
    """All accounts of a program that pass every filter, in the order of their addresses."""
    slot = at(chain, context)
    found = matching(chain.bank.program_accounts(pubkey(program), slot), (context and context.filters) or ())
    found.sort(key=lambda item: bytes(item[0]))
    _bounded([account for _, account in found], context)
    listed = [{"pubkey": str(key), "account": shown(chain, account, context, slot)} for key, account in found]
    return with_context(slot, listed) if context is not None and context.with_context else listed


@methods.add("getMinimumBalanceForRentExemption")
def get_minimum_balance_for_rent_exemption(chain: Chain, size: Size, context: Context | None = None) -> Any:
    """The lamports an account with so many bytes of data must hold."""
    if size > PROGRAM_BYTES:
        raise InvalidRequest(f"an account has at most {PROGRAM_BYTES} bytes")
    return chain.bank.rent_exempt(size)


def shown(chain: Chain, account: Account | None, context: AccountContext | None, slot: int) -> dict[str, Any] | None:
    """An account as the caller wants it."""
    return None if account is None else encoded(account, context, lambda key: chain.bank.account(key, slot))


def matching(accounts: Iterable[tuple[Pubkey, Account]], filters: Iterable[Filter]) -> list[tuple[Pubkey, Account]]:
    """The accounts that pass every filter. Raises InvalidParams for bytes that cannot be read."""
    sizes = [item.data_size for item in filters if item.data_size is not None]
    parts = [(item.memcmp.offset, filter_bytes(item.memcmp)) for item in filters if item.memcmp is not None]
    return [
        (key, account)
        for key, account in accounts
        if all(len(account.data) == size for size in sizes)
        and all(account.data[offset : offset + len(wanted)] == wanted for offset, wanted in parts)
    ]


def _bounded(accounts: Iterable[Account | None], context: AccountContext | None) -> None:
    part = None if context is None else context.data_slice
    sizes = (len(account.data) for account in accounts if account is not None)
    total = sum(sizes) if part is None else sum(min(size, part.length) for size in sizes)
    if total > ANSWER_BYTES:
        raise InvalidRequest(f"the accounts have {total} bytes, one answer at most {ANSWER_BYTES}; use a dataSlice")
