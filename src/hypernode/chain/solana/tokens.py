"""Tokens (SPL Token): where somebody's lie, and the instructions to make them, move them and count them."""

from __future__ import annotations

import struct
from typing import Final

from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM
from solders.system_program import CreateAccountParams, create_account
from solders.token.associated import get_associated_token_address

from hypernode.chain.solana.errors import ValueUnfit

TOKEN: Final = Pubkey.from_string("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA")
ASSOCIATED: Final = Pubkey.from_string("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL")
MINT_BYTES: Final = 82
_ACCOUNT_BYTES: Final = 165
_AMOUNT: Final = slice(64, 72)
# Numbers of instructions, and of the authority to mint: spl_token::instruction.
_TRANSFER, _SET_AUTHORITY, _MINT_TO, _INITIALIZE_MINT = 3, 6, 7, 20
_OPEN_UNLESS_THERE = 1
_MINTING = 0


def place_of(holder: Pubkey, mint: Pubkey) -> Pubkey:
    """Where a holder's tokens of a mint lie: the account that wallets take."""
    return get_associated_token_address(holder, mint)


def open_place(payer: Pubkey, holder: Pubkey, mint: Pubkey) -> Instruction:
    """Make that account unless it is there."""
    metas = [
        AccountMeta(payer, True, True),
        AccountMeta(place_of(holder, mint), False, True),
        *(AccountMeta(key, False, False) for key in (holder, mint, SYSTEM, TOKEN)),
    ]
    return Instruction(ASSOCIATED, bytes([_OPEN_UNLESS_THERE]), metas)


def transfer(source: Pubkey, target: Pubkey, holder: Pubkey, amount: int) -> Instruction:
    """Move tokens from one account to another, in the mint's smallest unit. The holder signs."""
    metas = [AccountMeta(source, False, True), AccountMeta(target, False, True), AccountMeta(holder, True, False)]
    return Instruction(TOKEN, struct.pack("<BQ", _TRANSFER, amount), metas)


def final_mint(payer: Pubkey, mint: Pubkey, *, lamports: int, decimals: int, supply: int) -> list[Instruction]:
    """A new mint whose whole supply the payer gets, and of which nobody can ever make more. Both sign; `lamports` makes
    an account of MINT_BYTES exempt from rent."""
    made = CreateAccountParams(from_pubkey=payer, to_pubkey=mint, lamports=lamports, space=MINT_BYTES, owner=TOKEN)
    changed, signs, place = AccountMeta(mint, False, True), AccountMeta(payer, True, False), place_of(payer, mint)
    return [
        create_account(made),
        Instruction(TOKEN, bytes([_INITIALIZE_MINT, decimals]) + bytes(payer) + b"\0", [changed]),
        open_place(payer, payer, mint),
        Instruction(TOKEN, struct.pack("<BQ", _MINT_TO, supply), [changed, AccountMeta(place, False, True), signs]),
        Instruction(TOKEN, bytes([_SET_AUTHORITY, _MINTING, 0]), [changed, signs]),
    ]


def amount_in(data: bytes) -> int:
    """How much a token account holds, from its data. Raises ValueUnfit for other data."""
    if len(data) < _ACCOUNT_BYTES:
        raise ValueUnfit(f"{len(data)} bytes are no token account")
    return int.from_bytes(data[_AMOUNT], "little")
