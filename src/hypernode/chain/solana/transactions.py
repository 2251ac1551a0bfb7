"""Building and signing transactions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction

from hypernode.kernel.errors import InvalidInput
from hypernode.kernel.keys import KeyPair

WIRE_BYTES: Final = 1232
"""The most a transaction has: one packet."""


class Blockhash(msgspec.Struct, frozen=True):
    """A recent blockhash, and the last block height at which a transaction may name it. `slot`: as of which it was
    told; no block before can hold a transaction that names it."""

    blockhash: str
    last_valid_height: int
    slot: int


class Signed(msgspec.Struct, frozen=True):
    """A signed transaction: what is kept before it is sent, so that it can be followed after a crash. The chain
    executes it at most once, however often it is sent, and never beyond `last_valid_height`."""

    wire: bytes
    signature: str
    blockhash: str
    last_valid_height: int
    since_slot: int
    """No block before this slot can hold it."""


def address(key: KeyPair) -> Pubkey:
    """The Solana address of an identity: its public key is one."""
    return Pubkey.from_string(key.public)


def signer(key: KeyPair) -> Keypair:
    """The identity as one that signs transactions.

    A signature under a transaction is none under anything else of Hypernode's, and the other way round: our own begin
    with `hypernode` and a zero byte, which as a message would ask for 104 signatures, more than one packet holds.
    """
    return Keypair.from_seed(key.seed)


def priced(instructions: Sequence[Instruction], unit_limit: int, unit_price: int) -> list[Instruction]:
    """The instructions with a limit of compute units and a price for each, in millionths of a lamport."""
    return [set_compute_unit_limit(unit_limit), set_compute_unit_price(unit_price), *instructions]


def unsigned(
    payer: Pubkey,
    instructions: Sequence[Instruction],
    blockhash: Blockhash,
    tables: Sequence[AddressLookupTableAccount] = (),
) -> VersionedTransaction:
    """A transaction for simulation: its signatures are all zero. Raises InvalidInput if it does not fit a packet."""
    message = MessageV0.try_compile(payer, list(instructions), list(tables), Hash.from_string(blockhash.blockhash))
    made = VersionedTransaction.populate(message, [Signature.default()] * message.header.num_required_signatures)
    if len(bytes(made)) > WIRE_BYTES:
        raise InvalidInput(
            f"the transaction has {len(bytes(made))} bytes, at most {WIRE_BYTES}; split it, or use lookup tables"
        )
    return made


def sign(made: VersionedTransaction, signers: Sequence[KeyPair], blockhash: Blockhash) -> Signed:
    """Sign. Raises InvalidInput unless exactly those sign who must."""
    message = made.message
    required = {str(key) for key in message.account_keys[: message.header.num_required_signatures]}
    given = {key.public for key in signers}
    if required != given:
        missing, unwanted = sorted(required - given), sorted(given - required)
        raise InvalidInput(f"signatures missing of {missing or 'nobody'}, unwanted of {unwanted or 'nobody'}")
    done = VersionedTransaction(message, [signer(key) for key in signers])
    return Signed(
        wire=bytes(done),
        signature=str(done.signatures[0]),
        blockhash=blockhash.blockhash,
        last_valid_height=blockhash.last_valid_height,
        since_slot=blockhash.slot,
    )
