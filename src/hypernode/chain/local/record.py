"""What is kept of a transaction that was executed: its bytes and what a validator calls its metadata."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import base58
import msgspec
from solders.account import Account
from solders.pubkey import Pubkey
from solders.transaction_metadata import FailedTransactionMetadata, InnerInstruction, TransactionMetadata

from hypernode.chain.local import tokens

State = Mapping[Pubkey, Account | None]


class Record(msgspec.Struct, frozen=True):
    """One executed transaction, failed ones included: those paid their fee. `error` is None or the runtime's error in
    the JSON form of Agave; `meta` has that form too, with inner instructions not yet parsed."""

    signature: str
    slot: int
    block_time: int
    wire: bytes
    keys: tuple[str, ...]
    """Every account it names, those from lookup tables included."""
    writable: tuple[str, ...]
    """Those of them that it could change."""
    error: Any
    meta: dict[str, Any]


class _Failure(msgspec.Struct):
    err: Any


def error_of(outcome: TransactionMetadata | FailedTransactionMetadata) -> Any:
    """The error in Agave's JSON form, such as {"InstructionError": [0, {"Custom": 6001}]}; None for success."""
    if isinstance(outcome, FailedTransactionMetadata):
        return msgspec.json.decode(outcome.to_json(), type=_Failure).err
    return None


def meta_of(outcome: TransactionMetadata | FailedTransactionMetadata) -> TransactionMetadata:
    """The metadata of a success or a failure."""
    return outcome.meta() if isinstance(outcome, FailedTransactionMetadata) else outcome


def metadata(
    outcome: TransactionMetadata | FailedTransactionMetadata,
    keys: Sequence[Pubkey],
    loaded: tuple[Sequence[Pubkey], Sequence[Pubkey]],
    before: State,
    after: State,
) -> dict[str, Any]:
    """`UiTransactionStatusMeta` of Agave. `keys` in the order of the message, then `loaded` (writable, readonly)."""
    meta, error = meta_of(outcome), error_of(outcome)
    found = {
        "err": error,
        "status": {"Ok": None} if error is None else {"Err": error},
        "fee": meta.fee(),
        "preBalances": [_lamports(before.get(key)) for key in keys],
        "postBalances": [_lamports(after.get(key)) for key in keys],
        "innerInstructions": inner_instructions(meta.inner_instructions()),
        "logMessages": meta.logs(),
        "preTokenBalances": _token_balances(keys, before),
        "postTokenBalances": _token_balances(keys, after),
        "rewards": [],
        "loadedAddresses": {"writable": [str(key) for key in loaded[0]], "readonly": [str(key) for key in loaded[1]]},
        "computeUnitsConsumed": meta.compute_units_consumed(),
    }
    returned = return_data(meta)
    return found if returned is None else found | {"returnData": returned}


def inner_instructions(groups: Sequence[Sequence[InnerInstruction]]) -> list[dict[str, Any]]:
    """What the instructions called in turn, by the index of the one that began it."""
    return [
        {
            "index": index,
            "instructions": [
                {
                    "programIdIndex": inner.instruction().program_id_index,
                    "accounts": list(inner.instruction().accounts),
                    "data": base58.b58encode(inner.instruction().data).decode(),
                    "stackHeight": inner.stack_height(),
                }
                for inner in group
            ],
        }
        for index, group in enumerate(groups)
        if group
    ]


def return_data(meta: TransactionMetadata) -> dict[str, Any] | None:
    """What the last program that returned something returned, in base64; None for nothing."""
    returned = meta.return_data()
    if not returned.data:
        return None
    return {"programId": str(returned.program_id), "data": [base64.b64encode(returned.data).decode(), "base64"]}


def _lamports(account: Account | None) -> int:
    return 0 if account is None else account.lamports


def _token_balances(keys: Sequence[Pubkey], state: State) -> list[dict[str, Any]]:
    found = []
    for index, key in enumerate(keys):
        account = state.get(key)
        holding = tokens.read_holding(account)
        if account is None or holding is None:
            continue
        mint = tokens.read_mint(state.get(holding.mint))
        found.append(
            {
                "accountIndex": index,
                "mint": str(holding.mint),
                "owner": str(holding.owner),
                "programId": str(account.owner),
                "uiTokenAmount": tokens.ui_amount(holding.amount, 0 if mint is None else mint.decimals),
            }
        )
    return found
