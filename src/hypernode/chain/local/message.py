"""What a transaction's message says before it is run: its accounts, its nonce, its price."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from typing import Final

import msgspec
from solders.account import Account
from solders.message import Message, MessageV0
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction

from hypernode.kernel.errors import InvariantViolated

SYSTEM: Final = Pubkey.from_string("11111111111111111111111111111111")
LOOKUP_TABLES: Final = Pubkey.from_string("AddressLookupTab1e1111111111111111111111111")
COMPUTE_BUDGET: Final = Pubkey.from_string("ComputeBudget111111111111111111111111111111")

_TABLE_HEADER_BYTES: Final = 56
_ADVANCE_NONCE: Final = struct.pack("<I", 4)
_SET_PRICE: Final = 3
_NONCE_INITIALIZED: Final = 1
_NONCE_AT: Final = slice(40, 72)
_NONCE_BYTES: Final = 80

AnyMessage = Message | MessageV0


def message_of(transaction: VersionedTransaction) -> AnyMessage:
    """The message. Raises InvariantViolated for a version that was to be refused where it came in."""
    message = transaction.message
    if not isinstance(message, AnyMessage):
        raise InvariantViolated("only legacy and version 0 messages are taken")
    return message


class Accounts(msgspec.Struct, frozen=True):
    """The accounts a transaction names: `static` from its message, and those that lookup tables stand for."""

    static: tuple[Pubkey, ...]
    loaded_writable: tuple[Pubkey, ...]
    loaded_readonly: tuple[Pubkey, ...]
    writable: frozenset[Pubkey]

    @property
    def all(self) -> tuple[Pubkey, ...]:
        """In the order that instructions index them by."""
        return self.static + self.loaded_writable + self.loaded_readonly


def accounts_of(message: AnyMessage, account: Callable[[Pubkey], Account | None]) -> Accounts:
    """The accounts of a message; lookup tables that do not exist, or are too short, stand for nothing here (the runtime
    refuses the transaction)."""
    static = tuple(message.account_keys)
    header = message.header
    signers, count = header.num_required_signatures, len(static)
    writable = {
        key
        for index, key in enumerate(static)
        if (
            index < signers - header.num_readonly_signed_accounts
            if index < signers
            else index < count - header.num_readonly_unsigned_accounts
        )
    }
    to_write: list[Pubkey] = []
    to_read: list[Pubkey] = []
    for lookup in message.address_table_lookups if isinstance(message, MessageV0) else ():
        table = account(lookup.account_key)
        data = table.data if table is not None and table.owner == LOOKUP_TABLES else b""
        for indexes, found in ((lookup.writable_indexes, to_write), (lookup.readonly_indexes, to_read)):
            for index in bytes(indexes):
                at = _TABLE_HEADER_BYTES + 32 * index
                if len(data) >= at + 32:
                    found.append(Pubkey.from_bytes(data[at : at + 32]))
    return Accounts(static, tuple(to_write), tuple(to_read), frozenset(writable | set(to_write)))


def nonce_account(message: AnyMessage) -> Pubkey | None:
    """The nonce account that stands for this message's blockhash: the one that its first instruction advances."""
    first = message.instructions[0] if message.instructions else None
    keys = message.account_keys
    if first is None or first.program_id_index >= len(keys) or keys[first.program_id_index] != SYSTEM:
        return None
    if first.data[:4] != _ADVANCE_NONCE or not first.accounts or first.accounts[0] >= len(keys):
        return None
    return keys[first.accounts[0]]


def stored_nonce(account: Account | None) -> bytes | None:
    """The hash in an initialized nonce account; None for any other."""
    if account is None or account.owner != SYSTEM or len(account.data) != _NONCE_BYTES:
        return None
    (state,) = struct.unpack_from("<I", account.data, 4)
    return account.data[_NONCE_AT] if state == _NONCE_INITIALIZED else None


def advanced_nonce(account: Account, blockhash: bytes) -> Account:
    """The nonce account after it was advanced in a slot with this blockhash (DurableNonce::from_blockhash of Agave)."""
    data = bytearray(account.data)
    data[_NONCE_AT] = hashlib.sha256(b"DURABLE_NONCE" + blockhash).digest()
    return Account(account.lamports, bytes(data), account.owner, account.executable, account.rent_epoch)


def unit_price(message: AnyMessage) -> int:
    """What the message offers for a compute unit, in millionths of a lamport; 0 if it says nothing."""
    for instruction in message.instructions:
        index, data = instruction.program_id_index, instruction.data
        budget = index < len(message.account_keys) and message.account_keys[index] == COMPUTE_BUDGET
        if budget and len(data) >= 9 and data[0] == _SET_PRICE:
            (price,) = struct.unpack_from("<Q", data, 1)
            return int(price)
    return 0


def unsigned(message: AnyMessage) -> VersionedTransaction:
    """A transaction of this message, its signatures all zero."""
    return VersionedTransaction.populate(message, [Signature.default()] * message.header.num_required_signatures)
