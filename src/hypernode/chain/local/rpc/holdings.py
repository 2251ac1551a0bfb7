"""Methods about tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from solders.pubkey import Pubkey

from hypernode.chain.local import tokens
from hypernode.chain.local.chain import Chain
from hypernode.chain.local.rpc.accounts import shown, with_context
from hypernode.chain.local.rpc.dispatch import Methods
from hypernode.chain.local.rpc.errors import InvalidParams
from hypernode.chain.local.rpc.params import AccountContext, Address, Context, at, pubkey

LARGEST = 20

methods = Methods()


class Which(msgspec.Struct, frozen=True, rename="camel"):
    """Which token accounts: those of one mint, or of one token program."""

    mint: Address | None = None
    program_id: Address | None = None

    def __post_init__(self) -> None:
        if (self.mint is None) == (self.program_id is None):
            raise ValueError("give either mint or programId")


@methods.add("getTokenAccountBalance")
def get_token_account_balance(chain: Chain, address: Address, context: Context | None = None) -> Any:
    """How much a token account holds."""
    slot = at(chain, context)
    account = chain.bank.account(pubkey(address), slot)
    if account is None:
        raise InvalidParams("Invalid param: could not find account")
    holding = tokens.read_holding(account)
    if holding is None:
        raise InvalidParams("Invalid param: not a Token account")
    mint = _mint(chain, holding.mint, slot)
    return with_context(slot, tokens.ui_amount(holding.amount, mint.decimals))


@methods.add("getTokenSupply")
def get_token_supply(chain: Chain, address: Address, context: Context | None = None) -> Any:
    """How much of a token there is."""
    slot = at(chain, context)
    mint = _mint(chain, pubkey(address), slot)
    return with_context(slot, tokens.ui_amount(mint.supply, mint.decimals))


@methods.add("getTokenLargestAccounts")
def get_token_largest_accounts(chain: Chain, address: Address, context: Context | None = None) -> Any:
    """The accounts that hold most of a token."""
    slot, key = at(chain, context), pubkey(address)
    mint = _mint(chain, key, slot)
    held = [
        (holding.amount, str(place))
        for program in tokens.PROGRAMS
        for place, account in chain.bank.program_accounts(program, slot)
        if (holding := tokens.read_holding(account)) is not None and holding.mint == key
    ]
    held.sort(key=lambda item: (-item[0], item[1]))
    return with_context(
        slot, [{"address": place} | tokens.ui_amount(amount, mint.decimals) for amount, place in held[:LARGEST]]
    )


@methods.add("getTokenAccountsByOwner")
def get_token_accounts_by_owner(
    chain: Chain, owner: Address, which: Which, context: AccountContext | None = None
) -> Any:
    """The token accounts that somebody owns."""
    key = pubkey(owner)
    return _accounts(chain, which, context, lambda holding: holding.owner == key)


@methods.add("getTokenAccountsByDelegate")
def get_token_accounts_by_delegate(
    chain: Chain, delegate: Address, which: Which, context: AccountContext | None = None
) -> Any:
    """The token accounts that somebody may spend from."""
    key = pubkey(delegate)
    return _accounts(chain, which, context, lambda holding: holding.delegate == key)


def _accounts(
    chain: Chain, which: Which, context: AccountContext | None, wanted: Callable[[tokens.Holding], bool]
) -> Any:
    slot = at(chain, context)
    mint = None if which.mint is None else pubkey(which.mint)
    if which.program_id is not None:
        program = pubkey(which.program_id)
    else:
        account = None if mint is None else chain.bank.account(mint, slot)
        if account is None or tokens.read_mint(account) is None:
            raise InvalidParams("Invalid param: could not find mint")
        program = account.owner
    if program not in tokens.PROGRAMS:
        raise InvalidParams("Invalid param: unrecognized Token program id")
    found = [
        (key, account)
        for key, account in chain.bank.program_accounts(program, slot)
        if (holding := tokens.read_holding(account)) is not None
        and wanted(holding)
        and (mint is None or holding.mint == mint)
    ]
    found.sort(key=lambda item: bytes(item[0]))
    listed = [{"pubkey": str(key), "account": shown(chain, account, context, slot)} for key, account in found]
    return with_context(slot, listed)


def _mint(chain: Chain, key: Pubkey, slot: int) -> tokens.Mint:
    account = chain.bank.account(key, slot)
    if account is None:
        raise InvalidParams("Invalid param: could not find mint")
    mint = tokens.read_mint(account)
    if mint is None:
        raise InvalidParams("Invalid param: not a Token mint")
    return mint
