"""Executed transactions in the encodings of the interface."""

from __future__ import annotations

import base64
import struct
from collections.abc import Sequence
from typing import Any, Literal

import base58
from solders.message import Message, MessageV0
from solders.transaction import VersionedTransaction

from hypernode.chain.local.message import message_of
from hypernode.chain.local.record import Record
from hypernode.chain.local.tokens import ui_amount

Encoding = Literal["json", "jsonParsed", "base58", "base64"]

_SYSTEM = "11111111111111111111111111111111"
_TOKENS = {
    "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA": "spl-token",
    "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb": "spl-token-2022",
}
_MEMO = "MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr"
_SYSTEM_TRANSFER = 2
_TOKEN_TRANSFER = 3
_TOKEN_TRANSFER_CHECKED = 12


def shown(made: VersionedTransaction, record: Record, encoding: Encoding) -> dict[str, Any]:
    """The fields `transaction` and `meta` of an answer."""
    if encoding in ("base58", "base64"):
        data = record.wire
        text = base64.b64encode(data) if encoding == "base64" else base58.b58encode(data)
        return {"transaction": [text.decode(), encoding], "meta": record.meta}
    if encoding == "json":
        return {"transaction": _plain(made), "meta": record.meta}
    meta = dict(record.meta)
    meta["innerInstructions"] = [
        {**group, "instructions": [parsed(inner, record.keys) for inner in group["instructions"]]}
        for group in meta["innerInstructions"]
    ]
    del meta["loadedAddresses"]  # the parsed list of accounts has them
    return {"transaction": _parsed(made, record), "meta": meta}


def _plain(made: VersionedTransaction) -> dict[str, Any]:
    message = message_of(made)
    header = message.header
    form: dict[str, Any] = {
        "header": {
            "numRequiredSignatures": header.num_required_signatures,
            "numReadonlySignedAccounts": header.num_readonly_signed_accounts,
            "numReadonlyUnsignedAccounts": header.num_readonly_unsigned_accounts,
        },
        "accountKeys": [str(key) for key in message.account_keys],
        "recentBlockhash": str(message.recent_blockhash),
        "instructions": _instructions(message),
    }
    if isinstance(message, MessageV0):
        form["addressTableLookups"] = _lookups(message)
    return {"signatures": [str(signature) for signature in made.signatures], "message": form}


def _parsed(made: VersionedTransaction, record: Record) -> dict[str, Any]:
    message = message_of(made)
    static, signers = len(message.account_keys), message.header.num_required_signatures
    writable = frozenset(record.writable)
    form: dict[str, Any] = {
        "accountKeys": [
            {
                "pubkey": key,
                "signer": index < signers,
                "writable": key in writable,
                "source": "transaction" if index < static else "lookupTable",
            }
            for index, key in enumerate(record.keys)
        ],
        "recentBlockhash": str(message.recent_blockhash),
        "instructions": [parsed(instruction, record.keys) for instruction in _instructions(message)],
    }
    if isinstance(message, MessageV0):
        form["addressTableLookups"] = _lookups(message)
    return {"signatures": [str(signature) for signature in made.signatures], "message": form}


def _instructions(message: Message | MessageV0) -> list[dict[str, Any]]:
    return [
        {
            "programIdIndex": instruction.program_id_index,
            "accounts": list(instruction.accounts),
            "data": base58.b58encode(instruction.data).decode(),
            "stackHeight": 1,
        }
        for instruction in message.instructions
    ]


def _lookups(message: MessageV0) -> list[dict[str, Any]]:
    return [
        {
            "accountKey": str(lookup.account_key),
            "writableIndexes": list(bytes(lookup.writable_indexes)),
            "readonlyIndexes": list(bytes(lookup.readonly_indexes)),
        }
        for lookup in message.address_table_lookups
    ]


def parsed(instruction: dict[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    """An instruction with its accounts by name; transfers of lamports and tokens, and memos, are told in words. Others
    come partially decoded, as Agave shows what it cannot read."""
    program = keys[instruction["programIdIndex"]]
    accounts = [keys[index] for index in instruction["accounts"]]
    data = base58.b58decode(instruction["data"])
    height = instruction["stackHeight"]
    told = _told(program, accounts, data)
    if told is None:
        return {"programId": program, "accounts": accounts, "data": instruction["data"], "stackHeight": height}
    name, form = told
    return {"program": name, "programId": program, "parsed": form, "stackHeight": height}


def _told(program: str, accounts: Sequence[str], data: bytes) -> tuple[str, Any] | None:
    if program == _SYSTEM and len(data) == 12 and len(accounts) >= 2:
        kind, lamports = struct.unpack("<IQ", data)
        if kind == _SYSTEM_TRANSFER:
            info = {"source": accounts[0], "destination": accounts[1], "lamports": lamports}
            return "system", {"type": "transfer", "info": info}
    if program in _TOKENS and data:
        if data[0] == _TOKEN_TRANSFER and len(data) == 9 and len(accounts) == 3:
            source, destination, authority = accounts
            amount = str(int.from_bytes(data[1:9], "little"))
            token = {"source": source, "destination": destination, "authority": authority, "amount": amount}
            return _TOKENS[program], {"type": "transfer", "info": token}
        if data[0] == _TOKEN_TRANSFER_CHECKED and len(data) == 10 and len(accounts) == 4:
            source, mint, destination, authority = accounts
            form = {
                "source": source,
                "mint": mint,
                "destination": destination,
                "authority": authority,
                "tokenAmount": ui_amount(int.from_bytes(data[1:9], "little"), data[9]),
            }
            return _TOKENS[program], {"type": "transferChecked", "info": form}
    if program == _MEMO:
        try:
            return "spl-memo", data.decode()
        except UnicodeDecodeError:
            return None
    return None
