"""The local chain as a process, asked as clients ask it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import base58
import httpx
import pytest
import websockets
from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import MessageV0, to_bytes_versioned
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.system_program import (
    AdvanceNonceAccountParams,
    CreateAccountParams,
    advance_nonce_account,
    create_account,
    create_nonce_account,
)
from solders.token.associated import get_associated_token_address
from solders.transaction import VersionedTransaction

from hypernode.chain.local.process import LocalChain
from hypernode.chain.local.settings import AIRDROP_LAMPORTS, PROGRAM_BYTES, Program, Settings
from hypernode.chain.solana import tokens
from hypernode.chain.solana.tokens import ASSOCIATED, TOKEN
from hypernode.kernel.errors import InvalidInput
from integration.chain_fixtures import HOME, SOL, Caller, RpcFailure, local_chain, pay, signed

SYSTEM = Pubkey.from_string("11111111111111111111111111111111")
MEMO = Pubkey.from_string("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr")


@pytest.fixture(scope="module")
def chain() -> Iterator[LocalChain]:
    """Slots on demand: each transaction is final at once."""
    with local_chain(Settings(port=0, slot_ms=0)) as running:
        yield running


@pytest.fixture
def rpc(chain: LocalChain) -> Caller:
    return Caller(chain.url)


@pytest.fixture(scope="module")
def ticking() -> Iterator[LocalChain]:
    """Slots by the clock, so long that tests decide when the next one comes."""
    with local_chain(Settings(port=0, slot_ms=60_000, finality_slots=4)) as running:
        yield running


@pytest.fixture
def slow(ticking: LocalChain) -> Caller:
    return Caller(ticking.url)


def make_mint(rpc: Caller, authority: Keypair, decimals: int = 6) -> Pubkey:
    mint = Keypair()
    rent = rpc("getMinimumBalanceForRentExemption", 82)
    params = CreateAccountParams(
        from_pubkey=authority.pubkey(), to_pubkey=mint.pubkey(), lamports=rent, space=82, owner=TOKEN
    )
    data = bytes([20, decimals]) + bytes(authority.pubkey()) + b"\0"
    begin = Instruction(TOKEN, data, [AccountMeta(mint.pubkey(), False, True)])
    rpc.run([authority, mint], create_account(params), begin)
    return mint.pubkey()


def mint_to(authority: Keypair, mint: Pubkey, place: Pubkey, amount: int) -> Instruction:
    metas = [
        AccountMeta(mint, False, True),
        AccountMeta(place, False, True),
        AccountMeta(authority.pubkey(), True, False),
    ]
    return Instruction(TOKEN, struct.pack("<BQ", 7, amount), metas)


# ── transactions ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("legacy", [True, False])
def test_a_transfer_and_what_is_told_of_it(rpc: Caller, legacy: bool) -> None:
    payer, to = rpc.funded(), Keypair().pubkey()
    signature = rpc.send(signed(payer, rpc.blockhash(), pay(payer, to, SOL), legacy=legacy))
    assert rpc.balance(to) == SOL
    assert rpc.balance(payer.pubkey()) == 9 * SOL - 5000
    (status,) = rpc("getSignatureStatuses", [signature])["value"]
    assert (status["err"], status["confirmationStatus"], status["confirmations"]) == (None, "finalized", None)
    found = rpc("getTransaction", signature, {"maxSupportedTransactionVersion": 0})
    meta = found["meta"]
    assert found["version"] == ("legacy" if legacy else 0)
    assert meta["fee"] == 5000
    assert meta["preBalances"][:2] == [10 * SOL, 0]
    assert meta["postBalances"][:2] == [9 * SOL - 5000, SOL]
    assert meta["computeUnitsConsumed"] == 150
    assert meta["logMessages"][0] == f"Program {SYSTEM} invoke [1]"
    assert found["transaction"]["signatures"] == [signature]
    parsed = rpc("getTransaction", signature, {"maxSupportedTransactionVersion": 0, "encoding": "jsonParsed"})
    instruction = parsed["transaction"]["message"]["instructions"][0]
    assert instruction["parsed"]["info"] == {"source": str(payer.pubkey()), "destination": str(to), "lamports": SOL}
    keys = parsed["transaction"]["message"]["accountKeys"]
    assert [(key["signer"], key["writable"]) for key in keys] == [(True, True), (False, True), (False, False)]


def test_a_version_that_the_caller_cannot_read_is_refused(rpc: Caller) -> None:
    payer = rpc.funded()
    signature = rpc.run([payer], pay(payer, Keypair().pubkey(), SOL))
    with pytest.raises(RpcFailure) as caught:
        rpc("getTransaction", signature)
    assert caught.value.code == -32015


def test_preflight_tells_error_and_logs_and_sends_nothing(rpc: Caller) -> None:
    payer, to = rpc.funded(), Keypair().pubkey()
    with pytest.raises(RpcFailure, match="Error processing Instruction 0: custom program error: 0x1") as caught:
        rpc.run([payer], pay(payer, to, 100 * SOL))
    assert caught.value.code == -32002
    assert caught.value.data["err"] == {"InstructionError": [0, {"Custom": 1}]}
    assert any("insufficient lamports" in line for line in caught.value.data["logs"])
    assert rpc.balance(payer.pubkey()) == 10 * SOL


def test_without_preflight_a_failure_is_executed_and_pays_its_fee(rpc: Caller) -> None:
    payer, to = rpc.funded(), Keypair().pubkey()
    signature = rpc.run([payer], pay(payer, to, 100 * SOL), skipPreflight=True)
    (status,) = rpc("getSignatureStatuses", [signature])["value"]
    assert status["err"] == {"InstructionError": [0, {"Custom": 1}]}
    assert rpc.balance(payer.pubkey()) == 10 * SOL - 5000


def test_what_no_block_can_take_leaves_no_trace(rpc: Caller) -> None:
    poor = Keypair()
    signature = rpc.run([poor], pay(poor, Keypair().pubkey(), SOL), skipPreflight=True)
    assert rpc("getSignatureStatuses", [signature], {"searchTransactionHistory": True})["value"] == [None]
    assert rpc("getSignaturesForAddress", str(poor.pubkey())) == []
    with pytest.raises(RpcFailure, match="no record of a prior credit"):
        rpc.run([poor], pay(poor, Keypair().pubkey(), SOL))


def test_a_wrong_signature_is_refused(rpc: Caller) -> None:
    payer = rpc.funded()
    good = signed(payer, rpc.blockhash(), pay(payer, Keypair().pubkey(), SOL))
    with pytest.raises(RpcFailure) as caught:
        rpc.send(VersionedTransaction.populate(good.message, [Signature.default()]), skipPreflight=True)
    assert caught.value.code == -32003
    assert rpc.balance(payer.pubkey()) == 10 * SOL


def test_the_same_transaction_is_executed_once(slow: Caller) -> None:
    payer, to = slow.funded(), Keypair().pubkey()
    once = signed(payer, slow.blockhash(), pay(payer, to, SOL))
    for _ in range(3):
        slow.send(once, skipPreflight=True)
    with pytest.raises(RpcFailure, match="already been processed"):
        slow.send(once)
    assert slow.balance(to) == SOL


def test_inner_instructions_and_token_balances(rpc: Caller) -> None:
    payer, owner = rpc.funded(), Keypair().pubkey()
    mint = make_mint(rpc, payer)
    place = get_associated_token_address(owner, mint)
    made = rpc.run([payer], tokens.open_place(payer.pubkey(), owner, mint))
    told: Any = rpc("getTransaction", made, {"maxSupportedTransactionVersion": 0})
    (inner,) = told["meta"]["innerInstructions"]
    assert inner["index"] == 0
    assert [part["stackHeight"] for part in inner["instructions"]] == [2, 2, 2, 2]
    minted = rpc.run([payer], mint_to(payer, mint, place, 1_250_000))
    meta = rpc("getTransaction", minted, {"maxSupportedTransactionVersion": 0})["meta"]
    (before,), (after,) = meta["preTokenBalances"], meta["postTokenBalances"]
    assert before["uiTokenAmount"]["amount"] == "0"
    assert after["uiTokenAmount"] == {"amount": "1250000", "decimals": 6, "uiAmount": 1.25, "uiAmountString": "1.25"}
    assert (after["mint"], after["owner"], after["programId"]) == (str(mint), str(owner), str(TOKEN))
    assert rpc("getTokenSupply", str(mint))["value"]["amount"] == "1250000"
    assert rpc("getTokenAccountBalance", str(place))["value"]["uiAmountString"] == "1.25"
    for which in ({"mint": str(mint)}, {"programId": str(TOKEN)}):
        (held,) = rpc("getTokenAccountsByOwner", str(owner), which, {"encoding": "jsonParsed"})["value"]
        assert held["pubkey"] == str(place)
        assert held["account"]["data"]["parsed"]["info"]["tokenAmount"]["amount"] == "1250000"
    (largest,) = rpc("getTokenLargestAccounts", str(mint))["value"]
    assert (largest["address"], largest["amount"]) == (str(place), "1250000")


def test_addresses_from_a_lookup_table(rpc: Caller) -> None:
    payer, to = rpc.funded(), Keypair().pubkey()
    lookup_program = Pubkey.from_string("AddressLookupTab1e1111111111111111111111111")
    rpc("hypernode_warp", {"slots": 2})
    recent = rpc("getSlot", {"commitment": "processed"}) - 1
    table, bump = Pubkey.find_program_address([bytes(payer.pubkey()), struct.pack("<Q", recent)], lookup_program)
    metas = [
        AccountMeta(table, False, True),
        AccountMeta(payer.pubkey(), True, False),
        AccountMeta(payer.pubkey(), True, True),
        AccountMeta(SYSTEM, False, False),
    ]
    create = Instruction(lookup_program, struct.pack("<IQB", 0, recent, bump), metas)
    extend = Instruction(lookup_program, struct.pack("<IQ", 2, 1) + bytes(to), metas)
    rpc.run([payer], create, extend)
    rpc("hypernode_warp", {"slots": 1})
    from solders.address_lookup_table_account import AddressLookupTableAccount

    known = [AddressLookupTableAccount(table, [to])]
    message = MessageV0.try_compile(payer.pubkey(), [pay(payer, to, SOL)], known, rpc.blockhash())
    assert message.address_table_lookups
    signature = rpc.send(VersionedTransaction(message, [payer]))
    meta = rpc("getTransaction", signature, {"maxSupportedTransactionVersion": 0})["meta"]
    assert meta["loadedAddresses"] == {"writable": [str(to)], "readonly": []}
    assert meta["postBalances"][2] == SOL
    assert rpc.balance(to) == SOL
    assert [line["signature"] for line in rpc("getSignaturesForAddress", str(to))] == [signature]


def test_simulation_changes_nothing_and_shows_accounts(rpc: Caller) -> None:
    payer, to = rpc.funded(), Keypair().pubkey()
    message = MessageV0.try_compile(payer.pubkey(), [pay(payer, to, SOL)], [], rpc.blockhash())
    unsigned = VersionedTransaction.populate(message, [Signature.default()])
    wire = base64.b64encode(bytes(unsigned)).decode()
    wanted = {"addresses": [str(to)], "encoding": "base64"}
    asked = {"encoding": "base64", "commitment": "processed", "accounts": wanted, "innerInstructions": True}
    value = rpc("simulateTransaction", wire, asked)["value"]
    assert (value["err"], value["unitsConsumed"], value["accounts"][0]["lamports"]) == (None, 150, SOL)
    assert rpc.balance(to) == 0
    with pytest.raises(RpcFailure) as caught:
        rpc("simulateTransaction", wire, {"encoding": "base64", "commitment": "processed", "sigVerify": True})
    assert caught.value.code == -32003


def test_a_simulation_may_take_the_newest_blockhash(rpc: Caller) -> None:
    payer, to = rpc.funded(), Keypair().pubkey()
    for legacy in (True, False):
        old = signed(payer, rpc.blockhash(), pay(payer, to, SOL), legacy=legacy)
        rpc("hypernode_warp", {"slots": 151})
        wire = base64.b64encode(bytes(old)).decode()
        asked: dict[str, Any] = {"encoding": "base64", "commitment": "processed"}
        assert rpc("simulateTransaction", wire, asked)["value"]["err"] == "BlockhashNotFound"
        value = rpc("simulateTransaction", wire, asked | {"replaceRecentBlockhash": True})["value"]
        assert value["err"] is None
        assert value["replacementBlockhash"]["blockhash"] == str(rpc.blockhash())


# ── blockhashes and time ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_blockhash_is_good_for_150_slots(slow: Caller) -> None:
    payer, to = slow.funded(), Keypair().pubkey()
    value = slow("getLatestBlockhash", {"commitment": "processed"})["value"]
    early = signed(payer, slow.blockhash(), pay(payer, to, SOL))
    late = signed(payer, slow.blockhash(), pay(payer, to, 2 * SOL))
    ago = value["lastValidBlockHeight"] - slow("getBlockHeight", {"commitment": "processed"})
    assert ago == 150
    slow("hypernode_warp", {"slots": 150})
    assert slow("getBlockHeight", {"commitment": "processed"}) == value["lastValidBlockHeight"]
    assert slow("isBlockhashValid", value["blockhash"], {"commitment": "processed"})["value"] is True
    slow.send(early)
    slow("hypernode_warp", {"slots": 1})
    assert slow("isBlockhashValid", value["blockhash"], {"commitment": "processed"})["value"] is False
    with pytest.raises(RpcFailure, match="Blockhash not found"):
        slow.send(late)
    slow.send(late, skipPreflight=True)
    assert slow.balance(to) == SOL


def test_a_blockhash_is_known_only_at_its_own_commitment(slow: Caller) -> None:
    """The trap that a hash fetched at one commitment and checked at an older one is."""
    payer = slow.funded()
    fresh = signed(payer, slow.blockhash("processed"), pay(payer, Keypair().pubkey(), SOL))
    with pytest.raises(RpcFailure, match="Blockhash not found"):
        slow.send(fresh, preflightCommitment="finalized")
    slow.send(fresh, preflightCommitment="processed")


def test_state_is_told_as_of_each_commitment(slow: Caller) -> None:
    payer, to = slow.funded(), Keypair().pubkey()
    signature = slow.run([payer], pay(payer, to, SOL))
    seen = []
    for _ in range(6):
        (status,) = slow("getSignatureStatuses", [signature])["value"]
        balances = [slow.balance(to, commitment) // SOL for commitment in ("processed", "confirmed", "finalized")]
        seen.append(
            (
                status["confirmationStatus"],
                balances,
                slow("getTransaction", signature, {"commitment": "finalized", "maxSupportedTransactionVersion": 0})
                is not None,
            )
        )
        slow("hypernode_warp", {"slots": 1})
    assert seen == [
        ("processed", [1, 0, 0], False),
        *[("confirmed", [1, 1, 0], False)] * 3,
        *[("finalized", [1, 1, 1], True)] * 2,
    ]


def test_the_minimum_context_slot_is_kept(slow: Caller) -> None:
    slot = slow("getSlot", {"commitment": "processed"})
    with pytest.raises(RpcFailure) as caught:
        slow("getBalance", str(SYSTEM), {"commitment": "processed", "minContextSlot": slot + 1})
    assert (caught.value.code, caught.value.data) == (-32016, {"contextSlot": slot})


def test_the_clock_jumps_and_programs_see_it(slow: Caller) -> None:
    clock = "SysvarC1ock11111111111111111111111111111111"

    def seen() -> tuple[int, int]:
        data = slow("getAccountInfo", clock, {"encoding": "base64", "commitment": "processed"})["value"]["data"][0]
        slot, _, _, _, unix_time = struct.unpack("<QqQQq", base64.b64decode(data))
        return slot, unix_time

    slot, unix_time = seen()
    told = slow("hypernode_warp", {"slots": 500_000, "seconds": 7 * 24 * 3600})
    assert seen() == (told["slot"], told["unixTimestamp"])
    assert told["slot"] == slot + 500_000
    assert 0 <= told["unixTimestamp"] - unix_time - 7 * 24 * 3600 < 60
    assert slow("getEpochInfo", {"commitment": "processed"})["epoch"] == 1
    with pytest.raises(RpcFailure):
        slow("hypernode_warp", {"seconds": -1})


def test_durable_nonces(slow: Caller) -> None:
    payer, nonce, to = slow.funded(), Keypair(), Keypair().pubkey()
    rent = slow("getMinimumBalanceForRentExemption", 80)
    slow.run([payer, nonce], *create_nonce_account(payer.pubkey(), nonce.pubkey(), payer.pubkey(), rent))

    def stored() -> bytes:
        asked = {"encoding": "base64", "commitment": "processed"}
        return base64.b64decode(slow("getAccountInfo", str(nonce.pubkey()), asked)["value"]["data"][0])[40:72]

    from solders.hash import Hash

    advance = advance_nonce_account(
        AdvanceNonceAccountParams(nonce_pubkey=nonce.pubkey(), authorized_pubkey=payer.pubkey())
    )
    first = stored()
    good = signed(payer, Hash.from_bytes(first), advance, pay(payer, to, SOL))
    bad = signed(payer, Hash.from_bytes(first), advance, pay(payer, to, 100 * SOL))
    slow("hypernode_warp", {"slots": 1000})
    slow.send(good)
    second = stored()
    assert second != first
    assert slow.balance(to) == SOL
    with pytest.raises(RpcFailure, match="Blockhash not found"):
        slow.send(bad)
    # A failed transaction uses its nonce up, too: nobody can send it again.
    slow("hypernode_warp", {"slots": 1000})
    failing = signed(payer, Hash.from_bytes(second), advance, pay(payer, to, 100 * SOL))
    signature = slow.send(failing, skipPreflight=True)
    assert slow("getSignatureStatuses", [signature])["value"][0]["err"] is not None
    assert stored() != second
    assert slow.balance(to) == SOL


# ── fees ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_fees_are_what_the_runtime_takes(rpc: Caller) -> None:
    payer, to = rpc.funded(), Keypair().pubkey()
    instructions = [set_compute_unit_limit(1000), set_compute_unit_price(3_000_000), pay(payer, to, SOL)]
    message = MessageV0.try_compile(payer.pubkey(), instructions, [], rpc.blockhash())
    asked = base64.b64encode(to_bytes_versioned(message)).decode()
    fee = rpc("getFeeForMessage", asked, {"commitment": "processed"})["value"]
    before = rpc.balance(payer.pubkey())
    rpc.send(VersionedTransaction(message, [payer]))
    assert fee == 5000 + 3000
    assert rpc.balance(payer.pubkey()) == before - SOL - fee
    recent = rpc("getRecentPrioritizationFees", [str(to)])
    assert [line["prioritizationFee"] for line in recent if line["prioritizationFee"]] == [3_000_000]
    assert not any(line["prioritizationFee"] for line in rpc("getRecentPrioritizationFees", [str(Keypair().pubkey())]))
    rpc("hypernode_warp", {"slots": 151})
    assert rpc("getFeeForMessage", asked, {"commitment": "processed"})["value"] is None


def test_the_faucet_has_bounds(rpc: Caller) -> None:
    for lamports in (0, AIRDROP_LAMPORTS + 1):
        with pytest.raises(RpcFailure) as caught:
            rpc("requestAirdrop", str(Keypair().pubkey()), lamports)
        assert caught.value.code == -32602
    to = str(Keypair().pubkey())
    assert rpc("requestAirdrop", to, SOL) != rpc("requestAirdrop", to, SOL)
    assert rpc("getBalance", to)["value"] == 2 * SOL


# ── accounts ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_encodings_slices_and_filters(rpc: Caller) -> None:
    payer = rpc.funded()
    mints = {str(make_mint(rpc, payer, decimals)): decimals for decimals in (0, 6, 9)}
    six = next(key for key, decimals in mints.items() if decimals == 6)
    plain = rpc("getAccountInfo", six, {"encoding": "base64"})["value"]
    data = base64.b64decode(plain["data"][0])
    assert (len(data), plain["space"], plain["owner"]) == (82, 82, str(TOKEN))
    assert base58.b58decode(rpc("getAccountInfo", six)["value"]["data"]) == data
    part = rpc("getAccountInfo", six, {"encoding": "base58", "dataSlice": {"offset": 44, "length": 1}})["value"]["data"]
    assert part == [base58.b58encode(b"\x06").decode(), "base58"]
    parsed = rpc("getAccountInfo", six, {"encoding": "jsonParsed"})["value"]["data"]
    assert parsed["parsed"]["info"]["mintAuthority"] == str(payer.pubkey())
    whose = {"memcmp": {"offset": 4, "bytes": str(payer.pubkey())}}
    everything = rpc("getProgramAccounts", str(TOKEN), {"encoding": "base64", "filters": [{"dataSize": 82}, whose]})
    assert {item["pubkey"] for item in everything} == set(mints)
    one = {"memcmp": {"offset": 44, "bytes": base64.b64encode(b"\x06").decode(), "encoding": "base64"}}
    found = rpc("getProgramAccounts", str(TOKEN), {"encoding": "base64", "filters": [whose, one], "withContext": True})
    assert [item["pubkey"] for item in found["value"]] == [six]
    several = rpc("getMultipleAccounts", [six, str(Keypair().pubkey())], {"encoding": "base64"})["value"]
    assert [item is None for item in several] == [False, True]
    code = "ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL"
    with pytest.raises(RpcFailure, match="please use Base64"):
        rpc("getAccountInfo", code)


def test_history_of_an_address(slow: Caller) -> None:
    payer, to = slow.funded(), Keypair().pubkey()
    made = [slow.run([payer], pay(payer, to, SOL + number)) for number in range(4)][::-1]
    confirmed = {"commitment": "confirmed"}
    assert slow("getSignaturesForAddress", str(to), confirmed) == []
    slow("hypernode_warp", {"slots": 1})
    listed = slow("getSignaturesForAddress", str(to), confirmed)
    assert [line["signature"] for line in listed] == made
    assert {line["confirmationStatus"] for line in listed} == {"confirmed"}
    some = slow("getSignaturesForAddress", str(to), {**confirmed, "before": made[0], "until": made[3], "limit": 5})
    assert [line["signature"] for line in some] == made[1:3]


# ── what is wrong ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", -32700),
        (b"\xff", -32700),
        (b"[" * 20_000, -32700),
        (b"[]", -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"getSlot","params":' + b"[" * 600 + b"]" * 600 + b"}", -32602),
        (b"1", -32600),
        (b'{"jsonrpc":"1.0","id":1,"method":"getSlot"}', -32600),
        (b'{"jsonrpc":"2.0","id":1}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"getNothing"}', -32601),
        (b'{"jsonrpc":"2.0","id":1,"method":"__init__"}', -32601),
        (b'{"jsonrpc":"2.0","id":1,"method":"getBalance"}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"getBalance","params":["0O"]}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"getBalance","params":["1",{},1]}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"getSlot","params":[{"commitment":"soon"}]}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"sendTransaction","params":["AQ=="]}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"sendTransaction","params":["AQ==",{"encoding":"base64"}]}', -32602),
    ],
)
def test_bad_requests_get_their_codes(rpc: Caller, body: bytes, code: int) -> None:
    answer = rpc.http.post("/", content=body).json()
    assert answer["error"]["code"] == code
    assert rpc("getHealth") == "ok"


def test_bytes_after_a_transaction_are_refused(rpc: Caller) -> None:
    payer = rpc.funded()
    wire = bytes(signed(payer, rpc.blockhash(), pay(payer, Keypair().pubkey(), SOL))) + b"\0"
    with pytest.raises(RpcFailure) as caught:
        rpc("sendTransaction", base64.b64encode(wire).decode(), {"encoding": "base64"})
    assert caught.value.code == -32602


def test_a_batch_is_answered_in_order(rpc: Caller) -> None:
    batch = [
        {"jsonrpc": "2.0", "id": number, "method": name} for number, name in enumerate(["getSlot", "x", "getHealth"])
    ]
    answers = rpc.http.post("/", json=batch).json()
    assert [answer["id"] for answer in answers] == [0, 1, 2]
    assert answers[1]["error"]["code"] == -32601
    too_many = rpc.http.post("/", json=batch * 40).json()
    assert too_many["error"]["code"] == -32600


def test_bodies_are_bounded_and_other_sites_refused(rpc: Caller) -> None:
    assert rpc.http.post("/", content=b"x" * 60_000).status_code == 413
    assert rpc.http.post("/", content=iter([b"x" * 30_000] * 3)).status_code == 413
    assert rpc.http.get("/").status_code == 405
    assert rpc.http.get("/health").text == "ok"
    assert rpc.http.get("/health", headers={"origin": "https://evil.example"}).status_code == 403
    assert rpc.http.get("/health", headers={"host": "evil.example:8899"}).status_code == 403
    assert rpc.http.get("/health", headers={"origin": "null"}).status_code == 403
    assert rpc.http.get("/health", headers={"origin": "http://[::1"}).status_code == 403
    assert (
        rpc.http.get("/health", headers={"origin": "chrome-extension://bfnaelmomeimhlpmgjnjophhpkkoljpa"}).text == "ok"
    )
    near = rpc.http.options("/", headers={"origin": "http://localhost:3000"})
    assert (near.status_code, near.headers["access-control-allow-origin"]) == (204, "http://localhost:3000")


# ── subscriptions ────────────────────────────────────────────────────────────────────────────────────────────────────


class Feed:
    """A WebSocket that tells answers from notices."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.notices: list[dict[str, Any]] = []

    async def call(self, method: str, *params: Any) -> Any:
        await self.connection.send(json.dumps({"jsonrpc": "2.0", "id": 7, "method": method, "params": params}))
        while True:
            message = json.loads(await asyncio.wait_for(self.connection.recv(), 10))
            if "id" in message:
                assert "error" not in message, message
                return message["result"]
            self.notices.append(message)

    async def rest(self) -> AsyncIterator[Any]:
        """Everything up to the end of the connection."""
        while True:
            try:
                yield await self.connection.recv()
            except websockets.ConnectionClosed:
                return

    async def next(self) -> tuple[str, Any]:
        message = self.notices.pop(0) if self.notices else None
        message = message or json.loads(await asyncio.wait_for(self.connection.recv(), 10))
        return message["method"], message["params"]["result"]


async def test_every_kind_of_subscription(ticking: LocalChain) -> None:
    rpc = Caller(ticking.url)
    payer, to = rpc.funded(), Keypair().pubkey()
    rpc("hypernode_warp", {"slots": 5})
    async with websockets.connect(ticking.websocket_url) as connection:
        feed = Feed(connection)
        at = {"commitment": "confirmed", "encoding": "base64"}
        await feed.call("accountSubscribe", str(to), at)
        await feed.call("programSubscribe", str(SYSTEM), at | {"filters": [{"dataSize": 0}]})
        await feed.call("logsSubscribe", {"mentions": [str(to)]}, {"commitment": "processed"})
        sent = signed(payer, rpc.blockhash(), pay(payer, to, SOL))
        signature = str(sent.signatures[0])
        await feed.call(
            "signatureSubscribe", signature, {"commitment": "confirmed", "enableReceivedNotification": True}
        )
        await feed.call("slotSubscribe")
        root = await feed.call("rootSubscribe")
        rpc.send(sent)
        kind, told = await feed.next()
        assert (kind, told["value"]) == ("signatureNotification", "receivedSignature")
        kind, told = await feed.next()
        assert (kind, told["value"]["signature"]) == ("logsNotification", signature)
        slot = rpc("hypernode_warp", {"slots": 1})["slot"]
        told_all = [await feed.next() for _ in range(6)]
        by_kind = dict(told_all)
        assert by_kind["signatureNotification"]["value"] == {"err": None}
        assert by_kind["accountNotification"]["value"]["lamports"] == SOL
        assert by_kind["slotNotification"] == {"slot": slot, "parent": slot - 1, "root": slot - 4}
        assert by_kind["rootNotification"] == slot - 4
        accounts = {told["value"]["pubkey"] for kind, told in told_all if kind == "programNotification"}
        assert accounts == {str(payer.pubkey()), str(to)}
        assert await feed.call("rootUnsubscribe", root) is True
        # One that is over when it is asked about is told at once.
        await feed.call("signatureSubscribe", signature, {"commitment": "confirmed"})
        assert (await feed.next())[1]["value"] == {"err": None}


async def test_subscriptions_are_bounded_and_end_with_their_connection(ticking: LocalChain) -> None:
    async with websockets.connect(ticking.url.replace("http", "ws")) as connection:
        for number in range(101):
            await connection.send(json.dumps({"jsonrpc": "2.0", "id": number, "method": "slotSubscribe"}))
        answers = [json.loads(await connection.recv()) for _ in range(101)]
        assert [("error" in answer) for answer in answers] == [False] * 100 + [True]
        for method, params in (("slotUnsubscribe", [10**9]), ("rootUnsubscribe", [1]), ("slotUnsubscribe", ["1"])):
            await connection.send(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}))
            assert json.loads(await connection.recv())["error"]["code"] == -32602
        await connection.send(b"x" * 60_000)
        with pytest.raises(websockets.ConnectionClosed) as caught:
            await connection.recv()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1009
    with pytest.raises(websockets.InvalidStatus):
        await websockets.connect(ticking.websocket_url, origin=websockets.Origin("https://evil.example"))


def make_large(rpc: Caller, payer: Keypair) -> Keypair:
    """An account as large as they get."""
    large = Keypair()
    rent = rpc("getMinimumBalanceForRentExemption", PROGRAM_BYTES)
    params = CreateAccountParams(
        from_pubkey=payer.pubkey(), to_pubkey=large.pubkey(), lamports=rent, space=PROGRAM_BYTES, owner=SYSTEM
    )
    rpc.run([payer, large], create_account(params))
    return large


async def test_who_reads_too_slowly_is_left(rpc: Caller, chain: LocalChain) -> None:
    """Notices of some megabytes must not fill the memory, however few they are."""
    payer = rpc.funded(1000 * SOL)
    large = make_large(rpc, payer)
    async with websockets.connect(chain.websocket_url, max_size=2**25, max_queue=1) as connection:
        feed = Feed(connection)
        await feed.call("accountSubscribe", str(large.pubkey()), {"encoding": "base64", "commitment": "processed"})
        for _ in range(20):
            await asyncio.to_thread(rpc.run, [payer], pay(payer, large.pubkey(), SOL))
        async with asyncio.timeout(30):
            seen = [len(notice) async for notice in feed.rest()]
        assert 1 <= len(seen) < 10
        assert connection.close_code == 1013


def test_a_batch_is_bounded_in_what_it_answers(rpc: Caller) -> None:
    payer = rpc.funded(1000 * SOL)
    large = make_large(rpc, payer)
    wanted = [str(large.pubkey()), {"encoding": "base64"}]
    batch = [{"jsonrpc": "2.0", "id": 1, "method": "getAccountInfo", "params": wanted}] * 20
    answers = rpc.http.post("/", json=batch, timeout=60).json()
    told = ["result" in answer for answer in answers]
    assert told == sorted(told, reverse=True)
    assert 4 <= sum(told) < 10
    assert {answer["error"]["code"] for answer in answers if "error" in answer} == {-32600}


# ── starting, keeping ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_kept_chain_goes_on_where_it_was(tmp_path: Path) -> None:
    settings = Settings(port=0, slot_ms=60_000, finality_slots=2, ledger=tmp_path / "ledger")
    with local_chain(settings) as first:
        rpc = Caller(first.url)
        payer, owner = rpc.funded(), Keypair().pubkey()
        mint = make_mint(rpc, payer)
        rpc.run([payer], tokens.open_place(payer.pubkey(), owner, mint))
        again = signed(payer, rpc.blockhash(), pay(payer, owner, SOL))
        rpc.send(again)
        genesis, balance = rpc("getGenesisHash"), rpc.balance(payer.pubkey())
        count = rpc("getTransactionCount")
        time_then = rpc("hypernode_warp", {"slots": 1, "seconds": 10_000_000})["unixTimestamp"]
        rpc.run([payer], pay(payer, owner, SOL))
        with pytest.raises(InvalidInput, match="another chain has it open"):
            local_chain(settings).start()
        assert first.process is not None
        first.process.kill()  # what closed blocks hold is there nevertheless
        first.process.wait()
    with local_chain(settings) as second:
        rpc = Caller(second.url)
        assert (rpc("getGenesisHash"), rpc.balance(payer.pubkey())) == (genesis, balance)
        assert rpc("getTransactionCount") == count
        with pytest.raises(RpcFailure, match="already been processed"):
            rpc.send(again)
        asked = {"maxSupportedTransactionVersion": 0, "commitment": "confirmed"}
        told: Any = rpc("getTransaction", str(again.signatures[0]), asked)
        assert told["meta"]["err"] is None
        assert rpc("hypernode_warp", {})["unixTimestamp"] >= time_then
        rpc.run([payer], mint_to(payer, mint, get_associated_token_address(owner, mint), 5))
        assert rpc("getTokenSupply", str(mint), {"commitment": "processed"})["value"]["amount"] == "5"


def test_what_was_confirmed_is_there_after_a_crash(tmp_path: Path) -> None:
    """Killed at some moment, again and again: what was only processed may be lost, and can be sent again."""
    settings = Settings(port=0, slot_ms=20, finality_slots=4, ledger=tmp_path)
    confirmed: dict[str, Pubkey] = {}
    for seed in range(4):
        with local_chain(settings) as chain:
            assert chain.process is not None
            rpc = Caller(chain.url)
            for signature, to in confirmed.items():
                (status,) = rpc("getSignatureStatuses", [signature], {"searchTransactionHistory": True})["value"]
                assert status["err"] is None
                assert rpc.balance(to) == SOL
            payer = rpc.funded(1000 * SOL)
            killer = threading.Timer(random.Random(seed).uniform(0.2, 1.0), chain.process.kill)
            killer.start()
            with contextlib.suppress(httpx.HTTPError):
                while True:
                    to = Keypair().pubkey()
                    signature, known = rpc.run([payer], pay(payer, to, SOL)), None
                    while known not in ("confirmed", "finalized"):
                        known = rpc("getSignatureStatuses", [signature])["value"][0]["confirmationStatus"]
                    confirmed[signature] = to
            killer.join()
    assert len(confirmed) > 4


def test_a_ledger_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "chain.sqlite").write_bytes(b"something else, and long enough to be looked at" * 100)
    with pytest.raises(InvalidInput, match="--reset makes a new one"):
        local_chain(Settings(port=0, ledger=tmp_path)).start()


def test_what_is_stopped_in_order_loses_nothing(tmp_path: Path) -> None:
    """Not even the block that is open."""
    settings = Settings(port=0, slot_ms=60_000, ledger=tmp_path)
    with local_chain(settings) as first:
        payer = Caller(first.url).funded()
    with local_chain(settings) as second:
        assert Caller(second.url).balance(payer.pubkey()) == 10 * SOL


def test_a_program_from_a_file_and_one_that_is_none(tmp_path: Path) -> None:
    """The associated token program, taken from the chain itself, under another address."""
    with local_chain(Settings(port=0, slot_ms=0)) as chain:
        rpc = Caller(chain.url)
        code = base64.b64decode(rpc("getAccountInfo", str(ASSOCIATED), {"encoding": "base64"})["value"]["data"][0])
    path, address = tmp_path / "program.so", str(Keypair().pubkey())
    path.write_bytes(code)
    settings = Settings(port=0, slot_ms=0, programs=(Program(address, path, str(Keypair().pubkey())),))
    with local_chain(settings) as chain:
        rpc = Caller(chain.url)
        assert rpc("getAccountInfo", address, {"encoding": "base64"})["value"]["executable"] is True
        payer = rpc.funded()
        mint = make_mint(rpc, payer)
        owner = Keypair().pubkey()
        place, _ = Pubkey.find_program_address([bytes(owner), bytes(TOKEN), bytes(mint)], Pubkey.from_string(address))
        made = tokens.open_place(payer.pubkey(), owner, mint)
        metas = [AccountMeta(place, False, True) if at == 1 else meta for at, meta in enumerate(made.accounts)]
        rpc.run([payer], Instruction(Pubkey.from_string(address), bytes(made.data), metas))
        assert rpc("getTokenAccountBalance", str(place))["value"]["amount"] == "0"
    path.write_bytes(b"not a program")
    with pytest.raises(InvalidInput, match="is not a program that the runtime can load"):
        local_chain(settings).start()


def test_the_command_runs_it_until_ctrl_c(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-P",
        "-m",
        "hypernode",
        "chain:local",
        "--port",
        "0",
        "--ledger",
        str(tmp_path / "ledger"),
    ]
    environment = {**os.environ, "HYPERNODE_HOME": str(HOME)}
    for options in ([], ["--reset"]):
        started = subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True, env=environment)
        assert started.stderr is not None
        try:
            lines = [started.stderr.readline(), started.stderr.readline()]
            (url,) = re.findall(r"ready at (http://\S+),", lines[1])
            assert Caller(url)("getTransactionCount", {"commitment": "processed"}) == 0
            Caller(url).funded()
            busy = subprocess.run([*command, "--reset"], capture_output=True, text=True, env=environment, check=False)
            assert busy.returncode != 0
            assert "is in use" in busy.stderr
        finally:
            started.send_signal(signal.SIGINT)
        assert started.wait(10) == 0
        assert "stopped" in started.stderr.read()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--host", "0.0.0.0"], "say --public"),
        (["--reset"], "say which with --ledger"),
        (["--program", "x"], "ADDRESS=FILE.so"),
        (["--program", "abc=x.so"], "public key"),
        (["--program", f"{TOKEN}=/nowhere.so"], "cannot read /nowhere.so"),
        (["--network", "/nowhere/network.json"], "cannot write /nowhere/network.json"),
        (["--network", "/dev/null"], "holds no network"),
    ],
)
def test_what_the_command_refuses(options: list[str], said: str) -> None:
    command = [sys.executable, "-P", "-m", "hypernode", "chain:local", "--port", "0", *options]
    environment = {**os.environ, "HYPERNODE_HOME": str(HOME)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 2  # wrong input
    assert said in done.stderr


def test_a_port_in_use_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(InvalidInput, match="choose others with --port"):
            local_chain(Settings(port=taken.getsockname()[1])).start()


LOADER = Pubkey.from_string("BPFLoaderUpgradeab1e11111111111111111111111")
RENT = Pubkey.from_string("SysvarRent111111111111111111111111111111111")
CLOCK = Pubkey.from_string("SysvarC1ock11111111111111111111111111111111")


def write_buffer(rpc: Caller, payer: Keypair, code: bytes) -> Pubkey:
    buffer = Keypair()
    space = 37 + len(code)
    params = CreateAccountParams(
        from_pubkey=payer.pubkey(),
        to_pubkey=buffer.pubkey(),
        lamports=rpc("getMinimumBalanceForRentExemption", space),
        space=space,
        owner=LOADER,
    )
    metas = [AccountMeta(buffer.pubkey(), False, True), AccountMeta(payer.pubkey(), True, False)]
    rpc.run([payer, buffer], create_account(params), Instruction(LOADER, struct.pack("<I", 0), metas))
    for at in range(0, len(code), 900):
        part = code[at : at + 900]
        rpc.run([payer], Instruction(LOADER, struct.pack("<IIQ", 1, at, len(part)) + part, metas))
    return buffer.pubkey()


def deploy(rpc: Caller, payer: Keypair, code: bytes) -> Pubkey:
    program = Keypair()
    place, _ = Pubkey.find_program_address([bytes(program.pubkey())], LOADER)
    params = CreateAccountParams(
        from_pubkey=payer.pubkey(),
        to_pubkey=program.pubkey(),
        lamports=rpc("getMinimumBalanceForRentExemption", 36),
        space=36,
        owner=LOADER,
    )
    metas = [
        AccountMeta(payer.pubkey(), True, True),
        *(AccountMeta(key, False, True) for key in (place, program.pubkey(), write_buffer(rpc, payer, code))),
        *(AccountMeta(key, False, False) for key in (RENT, CLOCK, SYSTEM)),
        AccountMeta(payer.pubkey(), True, False),
    ]
    rpc.run([payer, program], create_account(params), Instruction(LOADER, struct.pack("<IQ", 2, 2 * len(code)), metas))
    return program.pubkey()


def upgrade(rpc: Caller, payer: Keypair, program: Pubkey, code: bytes) -> None:
    place, _ = Pubkey.find_program_address([bytes(program)], LOADER)
    changed = (place, program, write_buffer(rpc, payer, code), payer.pubkey())
    metas = [
        *(AccountMeta(key, False, True) for key in changed),
        *(AccountMeta(key, False, False) for key in (RENT, CLOCK)),
        AccountMeta(payer.pubkey(), True, False),
    ]
    rpc.run([payer], Instruction(LOADER, struct.pack("<I", 3), metas))


def test_a_program_is_deployed_and_upgraded_through_the_real_loader(tmp_path: Path) -> None:
    """In the steps of the official tool; the code is the memo program's. A chain that is kept has it again."""
    settings = Settings(port=0, slot_ms=0, ledger=tmp_path)
    with local_chain(settings) as chain:
        rpc = Caller(chain.url)
        payer, other = rpc.funded(), rpc.funded()
        code = base64.b64decode(rpc("getAccountInfo", str(MEMO), {"encoding": "base64"})["value"]["data"][0])
        program = deploy(rpc, payer, code)
        remember = Instruction(program, b"hello", [AccountMeta(payer.pubkey(), True, False)])
        told: Any = rpc("getTransaction", rpc.run([payer], remember), {"maxSupportedTransactionVersion": 0})
        assert told["meta"]["logMessages"][0] == f"Program {program} invoke [1]"
        upgrade(rpc, payer, program, code)
        rpc.run([payer], remember)
        with pytest.raises(RpcFailure, match="Error processing Instruction 0"):
            upgrade(rpc, other, program, code)
    with local_chain(settings) as chain:
        rpc = Caller(chain.url)
        rpc.run([payer], remember)
        upgrade(rpc, payer, program, code)


def test_what_the_history_forgets_is_said_to_be_forgotten(rpc: Caller) -> None:
    assert rpc("getFirstAvailableBlock") == 0
    payer = rpc.funded()
    rpc.run([payer], pay(payer, Keypair().pubkey(), SOL))
    assert rpc("getFirstAvailableBlock") == 0
