"""Methods about transactions: sending, simulating, asking what became of them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from solders.hash import Hash
from solders.message import Message, MessageV0
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction
from solders.transaction_metadata import FailedTransactionMetadata, TransactionMetadata

from hypernode.chain.local import record as records
from hypernode.chain.local.bank import Rejected
from hypernode.chain.local.chain import Chain, Commitment
from hypernode.chain.local.message import message_of
from hypernode.chain.local.record import Record
from hypernode.chain.local.rpc import forms
from hypernode.chain.local.rpc.accounts import shown, with_context
from hypernode.chain.local.rpc.dispatch import Methods
from hypernode.chain.local.rpc.errors import (
    InvalidParams,
    PreflightFailure,
    RpcError,
    SignatureFailure,
    UnsupportedVersion,
    describe,
)
from hypernode.chain.local.rpc.params import (
    U64,
    AccountContext,
    AccountEncoding,
    Address,
    Context,
    SignatureText,
    Slot,
    Wire,
    WireEncoding,
    at,
    pubkey,
    signature,
    transaction,
)
from hypernode.chain.local.settings import AIRDROP_LAMPORTS, MULTIPLE_ACCOUNTS, SIGNATURES, STATUSES
from hypernode.chain.local.window import last_valid

methods = Methods()


class Sending(msgspec.Struct, frozen=True, rename="camel"):
    """How a transaction is sent."""

    encoding: WireEncoding | None = None
    skip_preflight: bool = False
    preflight_commitment: Commitment = "finalized"
    max_retries: U64 | None = None
    min_context_slot: Slot | None = None


class WantedAccounts(msgspec.Struct, frozen=True):
    """The accounts whose state after a simulation is wanted."""

    addresses: Annotated[list[Address], msgspec.Meta(max_length=MULTIPLE_ACCOUNTS)]
    encoding: AccountEncoding | None = None


class Simulating(Context, frozen=True, rename="camel"):
    """How a transaction is simulated."""

    encoding: WireEncoding | None = None
    sig_verify: bool = False
    replace_recent_blockhash: bool = False
    inner_instructions: bool = False
    accounts: WantedAccounts | None = None


class Showing(msgspec.Struct, frozen=True, rename="camel"):
    """How a transaction is wanted."""

    encoding: forms.Encoding = "json"
    commitment: Literal["confirmed", "finalized"] = "finalized"
    max_supported_transaction_version: Annotated[int, msgspec.Meta(ge=0, le=255)] | None = None


class Searching(msgspec.Struct, frozen=True, rename="camel"):
    """Which part of an address's history is wanted."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=SIGNATURES)] = SIGNATURES
    before: SignatureText | None = None
    until: SignatureText | None = None
    commitment: Literal["confirmed", "finalized"] = "finalized"
    min_context_slot: Slot | None = None


class Looking(msgspec.Struct, frozen=True, rename="camel"):
    """Whether to look beyond the recent transactions."""

    search_transaction_history: bool = False


@methods.add("sendTransaction")
def send_transaction(chain: Chain, wire: Wire, sending: Sending | None = None) -> Any:
    """Verify, simulate unless told not to, and execute; the signature. Like a validator it answers the signature of
    what was not simulated even if no block takes it."""
    sending = sending or Sending()
    sent = transaction(wire, sending.encoding)
    slot = at(chain, Context(commitment=sending.preflight_commitment, min_context_slot=sending.min_context_slot))
    if not all(sent.verify_with_results()):
        raise SignatureFailure("Transaction signature verification failure")
    if not sending.skip_preflight:
        _preflight(chain, sent, slot)
    try:
        chain.execute(sent)
    except Rejected as error:
        if not sending.skip_preflight:
            raise _failed(error.error, None) from error
    return str(sent.signatures[0])


@methods.add("simulateTransaction")
def simulate_transaction(chain: Chain, wire: Wire, simulating: Simulating | None = None) -> Any:
    """What a transaction would do, on the newest state."""
    simulating = simulating or Simulating()
    if simulating.sig_verify and simulating.replace_recent_blockhash:
        raise InvalidParams("sigVerify may not be used with replaceRecentBlockhash")
    slot = at(chain, simulating)
    tried = transaction(wire, simulating.encoding)
    replaced = None
    if simulating.replace_recent_blockhash:
        tried, replaced = _with_newest_hash(chain, tried, slot)
    if simulating.sig_verify and not all(tried.verify_with_results()):
        raise SignatureFailure("Transaction signature verification failure")
    try:
        chain.bank.check_age(tried, slot)
        outcome = chain.bank.simulate(tried)
    except Rejected as rejected:
        return with_context(slot, _simulated(rejected.error, None) | {"accounts": None})
    error = records.error_of(outcome) if isinstance(outcome, FailedTransactionMetadata) else None
    value = _simulated(error, outcome.meta())
    if simulating.inner_instructions:
        value["innerInstructions"] = records.inner_instructions(outcome.meta().inner_instructions())
    after = {} if isinstance(outcome, FailedTransactionMetadata) else dict(outcome.post_accounts())
    value["accounts"] = _wanted_accounts(chain, simulating.accounts, after, slot)
    if replaced is not None:
        value["replacementBlockhash"] = replaced
    return with_context(slot, value)


@methods.add("requestAirdrop")
def request_airdrop(chain: Chain, address: Address, lamports: U64, context: Context | None = None) -> Any:
    """Lamports for nothing; the signature of the transfer."""
    slot = at(chain, context)
    if not 0 < lamports <= AIRDROP_LAMPORTS:
        raise InvalidParams(f"Invalid request: an airdrop is 1 to {AIRDROP_LAMPORTS} lamports")
    try:
        return chain.airdrop(pubkey(address), lamports, chain.bank.hashes.at(slot)[1]).signature
    except Rejected as error:
        raise RpcError(f"airdrop request failed: {describe(error.error)}") from error


@methods.add("getSignatureStatuses")
def get_signature_statuses(
    chain: Chain,
    signatures: Annotated[list[SignatureText], msgspec.Meta(max_length=STATUSES)],
    looking: Looking | None = None,
) -> Any:
    """What became of transactions: null for those that no block has taken."""
    found = [chain.bank.status(name) or _searched(chain, name, looking) for name in map(signature, signatures)]
    return with_context(chain.bank.slot, [None if record is None else _status(chain, record) for record in found])


@methods.add("getTransaction")
def get_transaction(chain: Chain, name: SignatureText, showing: Showing | forms.Encoding | None = None) -> Any:
    """A transaction and what it did, or null. Raises UnsupportedVersion for a version that the caller does not read."""
    wanted = Showing(encoding=showing) if isinstance(showing, str) else showing or Showing()
    record = chain.history.get(signature(name))
    if record is None or record.slot > chain.slot(wanted.commitment):
        return None
    made = VersionedTransaction.from_bytes(record.wire)
    version = 0 if isinstance(made.message, MessageV0) else "legacy"
    if version == 0 and wanted.max_supported_transaction_version is None:
        raise UnsupportedVersion(
            "Transaction version (0) is not supported by the requesting client. Please try the request again with the"
            ' following configuration parameter: "maxSupportedTransactionVersion": 0'
        )
    found = {"slot": record.slot, "blockTime": record.block_time, **forms.shown(made, record, wanted.encoding)}
    # Callers that say no version predate versions.
    return found if wanted.max_supported_transaction_version is None else found | {"version": version}


@methods.add("getSignaturesForAddress")
def get_signatures_for_address(chain: Chain, address: Address, searching: Searching | None = None) -> Any:
    """The transactions that name an address, newest first."""
    searching = searching or Searching()
    slot = at(chain, Context(commitment=searching.commitment, min_context_slot=searching.min_context_slot))
    found = chain.history.mentions(
        str(pubkey(address)),
        before=None if searching.before is None else signature(searching.before),
        until=None if searching.until is None else signature(searching.until),
        up_to_slot=slot,
        limit=searching.limit,
    )
    return [
        {
            "signature": item.signature,
            "slot": item.slot,
            "err": item.error,
            "memo": None,
            "blockTime": item.block_time,
            "confirmationStatus": chain.commitment_of(item.slot),
        }
        for item in found
    ]


def _preflight(chain: Chain, sent: VersionedTransaction, slot: int) -> None:
    try:
        chain.bank.check_age(sent, slot)
        outcome = chain.bank.simulate(sent)
    except Rejected as error:
        raise _failed(error.error, None) from error
    if isinstance(outcome, FailedTransactionMetadata):
        raise _failed(records.error_of(outcome), outcome)


def _failed(error: Any, outcome: FailedTransactionMetadata | None) -> PreflightFailure:
    data = _simulated(error, None if outcome is None else outcome.meta()) | {"accounts": None}
    return PreflightFailure(f"Transaction simulation failed: {describe(error)}", data)


def _simulated(error: Any, meta: TransactionMetadata | None) -> dict[str, Any]:
    return {
        "err": error,
        "logs": [] if meta is None else meta.logs(),
        "unitsConsumed": 0 if meta is None else meta.compute_units_consumed(),
        "returnData": None if meta is None else records.return_data(meta),
        "innerInstructions": None,
    }


def _with_newest_hash(
    chain: Chain, tried: VersionedTransaction, slot: int
) -> tuple[VersionedTransaction, dict[str, Any]]:
    born, raw = chain.bank.hashes.at(slot)
    newest, old = Hash.from_bytes(raw), message_of(tried)
    message: Message | MessageV0
    if isinstance(old, MessageV0):
        message = MessageV0(old.header, old.account_keys, newest, old.instructions, old.address_table_lookups)
    else:
        header = old.header
        message = Message.new_with_compiled_instructions(
            header.num_required_signatures,
            header.num_readonly_signed_accounts,
            header.num_readonly_unsigned_accounts,
            old.account_keys,
            newest,
            old.instructions,
        )
    replaced = {"blockhash": str(newest), "lastValidBlockHeight": last_valid(born)}
    return VersionedTransaction.populate(message, tried.signatures), replaced


def _wanted_accounts(chain: Chain, wanted: WantedAccounts | None, after: dict[Pubkey, Any], slot: int) -> Any:
    if wanted is None:
        return None
    context = AccountContext(encoding=wanted.encoding or "base64")
    keys = [pubkey(address) for address in wanted.addresses]
    return [shown(chain, after.get(key) or chain.bank.account(key), context, slot) for key in keys]


def _searched(chain: Chain, name: str, looking: Looking | None) -> Record | None:
    return chain.history.get(name) if looking is not None and looking.search_transaction_history else None


def _status(chain: Chain, record: Record) -> dict[str, Any]:
    commitment = chain.commitment_of(record.slot)
    return {
        "slot": record.slot,
        "confirmations": None if commitment == "finalized" else chain.bank.slot - record.slot,
        "err": record.error,
        "status": record.meta["status"],
        "confirmationStatus": commitment,
    }
