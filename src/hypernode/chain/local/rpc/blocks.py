"""Methods about slots, blocks, blockhashes and fees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec
from solders.hash import Hash, ParseHashError
from solders.transaction import VersionedTransaction

from hypernode.chain.local import message as messages
from hypernode.chain.local.chain import Chain
from hypernode.chain.local.record import Record
from hypernode.chain.local.rpc.accounts import with_context
from hypernode.chain.local.rpc.dispatch import Methods
from hypernode.chain.local.rpc.errors import BlockNotAvailable, InvalidParams
from hypernode.chain.local.rpc.params import Address, Context, Slot, at, message
from hypernode.chain.local.settings import EPOCH_SLOTS, HASH_SLOTS, WARP_SECONDS, WARP_SLOTS
from hypernode.chain.local.window import last_valid

FEE_ACCOUNTS: Final = 128
BLOCKS: Final = 500_000

methods = Methods()


class Warp(msgspec.Struct, frozen=True):
    """How far to jump."""

    slots: Annotated[int, msgspec.Meta(ge=0, le=WARP_SLOTS)] = 0
    seconds: Annotated[int, msgspec.Meta(ge=0, le=WARP_SECONDS)] = 0


@methods.add("getSlot")
def get_slot(chain: Chain, context: Context | None = None) -> Any:
    """The newest slot."""
    return at(chain, context)


@methods.add("getBlockHeight")
def get_block_height(chain: Chain, context: Context | None = None) -> Any:
    """The height of the newest block: every slot has one."""
    return at(chain, context)


@methods.add("getLatestBlockhash")
def get_latest_blockhash(chain: Chain, context: Context | None = None) -> Any:
    """The newest blockhash, and the last block height at which a transaction may name it."""
    slot = at(chain, context)
    born, blockhash = chain.bank.hashes.at(slot)
    value = {"blockhash": str(Hash.from_bytes(blockhash)), "lastValidBlockHeight": last_valid(born)}
    return with_context(slot, value)


@methods.add("isBlockhashValid")
def is_blockhash_valid(
    chain: Chain, blockhash: Annotated[str, msgspec.Meta(max_length=44)], context: Context | None = None
) -> Any:
    """Whether a transaction could still name this blockhash."""
    slot = at(chain, context)
    try:
        raw = bytes(Hash.from_string(blockhash))
    except ParseHashError as error:
        raise InvalidParams("Invalid param: Invalid") from error
    return with_context(slot, chain.bank.hashes.valid(raw, slot))


@methods.add("getBlockTime")
def get_block_time(chain: Chain, slot: Slot) -> Any:
    """When a block with transactions was made; null for one without."""
    if slot > chain.bank.slot:
        raise BlockNotAvailable(f"Block not available for slot {slot}")
    found = chain.history.of_slot(slot)
    return found[0].block_time if found else None


@methods.add("getBlocks")
def get_blocks(chain: Chain, first: Slot, last: Slot | None = None, context: Context | None = None) -> Any:
    """The slots with a block, between two slots: all there are."""
    newest = at(chain, context)
    last = newest if last is None else min(last, newest)
    if last - first > BLOCKS:
        raise InvalidParams(f"Slot range too large; max {BLOCKS}")
    return list(range(first, last + 1))


@methods.add("getFirstAvailableBlock")
def get_first_available_block(chain: Chain) -> Any:
    """The first slot of which nothing is forgotten."""
    return chain.history.first_slot()


@methods.add("minimumLedgerSlot")
def minimum_ledger_slot(chain: Chain) -> Any:
    """The same."""
    return chain.history.first_slot()


@methods.add("getTransactionCount")
def get_transaction_count(chain: Chain, context: Context | None = None) -> Any:
    """How many transactions were executed, ever."""
    at(chain, context)
    return chain.bank.transactions


@methods.add("getEpochInfo")
def get_epoch_info(chain: Chain, context: Context | None = None) -> Any:
    """Where in which epoch the chain is."""
    slot = at(chain, context)
    return {
        "absoluteSlot": slot,
        "blockHeight": slot,
        "epoch": slot // EPOCH_SLOTS,
        "slotIndex": slot % EPOCH_SLOTS,
        "slotsInEpoch": EPOCH_SLOTS,
        "transactionCount": chain.bank.transactions,
    }


@methods.add("getEpochSchedule")
def get_epoch_schedule(chain: Chain) -> Any:
    """All epochs have the same length."""
    return {
        "slotsPerEpoch": EPOCH_SLOTS,
        "leaderScheduleSlotOffset": EPOCH_SLOTS,
        "warmup": False,
        "firstNormalEpoch": 0,
        "firstNormalSlot": 0,
    }


@methods.add("getFeeForMessage")
def get_fee_for_message(
    chain: Chain, text: Annotated[str, msgspec.Meta(max_length=4096)], context: Context | None = None
) -> Any:
    """The lamports that sending this message would cost, as the runtime counts; null once its blockhash expired."""
    slot = at(chain, context)
    found = message(text)
    if not chain.bank.hashes.valid(bytes(found.recent_blockhash), slot):
        return with_context(slot, None)
    return with_context(slot, chain.bank.simulate(messages.unsigned(found)).meta().fee())


@methods.add("getRecentPrioritizationFees")
def get_recent_prioritization_fees(
    chain: Chain, addresses: Annotated[list[Address], msgspec.Meta(max_length=FEE_ACCOUNTS)] | None = None
) -> Any:
    """For each recent slot, the least that a transaction which locked one of the accounts for writing paid for a
    compute unit, in millionths of a lamport; 0 where there was none."""
    wanted = frozenset(addresses or ())
    prices = {slot: _least_price(found, wanted) for slot, found in chain.bank.recent_blocks()}
    newest = chain.bank.slot
    return [
        {"slot": slot, "prioritizationFee": prices.get(slot, 0)}
        for slot in range(max(0, newest - HASH_SLOTS + 1), newest + 1)
    ]


@methods.add("hypernode_warp")
def warp(chain: Chain, by: Warp) -> Any:
    """Our own: let slots pass, and seconds on the clock that programs see."""
    chain.warp(by.slots, by.seconds)
    return {"slot": chain.bank.slot, "unixTimestamp": chain.bank.unix_time}


def _least_price(found: Sequence[Record], wanted: frozenset[str]) -> int:
    return min(
        (
            messages.unit_price(messages.message_of(VersionedTransaction.from_bytes(record.wire)))
            for record in found
            if not wanted or not wanted.isdisjoint(record.writable)
        ),
        default=0,
    )
