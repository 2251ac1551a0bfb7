"""Transactions on the local chain, asked as clients ask it: what they do, cost, and what is told of them."""

from __future__ import annotations

import base64
import struct
from typing import Any

import base58
import pytest
from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import MessageV0, to_bytes_versioned
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.token.associated import get_associated_token_address
from solders.transaction import VersionedTransaction

from hypernode.chain.local.settings import AIRDROP_LAMPORTS
from hypernode.chain.solana import tokens
from hypernode.chain.solana.tokens import TOKEN
from integration.chain_fixtures import (
    SOL,
    SYSTEM,
    Caller,
    RpcFailure,
    make_mint,
    mint_to,
    pay,
    signed,
)


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


def test_what_the_history_forgets_is_said_to_be_forgotten(rpc: Caller) -> None:
    assert rpc("getFirstAvailableBlock") == 0
    payer = rpc.funded()
    rpc.run([payer], pay(payer, Keypair().pubkey(), SOL))
    assert rpc("getFirstAvailableBlock") == 0
