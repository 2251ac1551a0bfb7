"""Blockhashes, commitments, slots and the clock of the local chain."""

from __future__ import annotations

import base64
import struct

import pytest
from solders.keypair import Keypair
from solders.system_program import (
    AdvanceNonceAccountParams,
    advance_nonce_account,
    create_nonce_account,
)

from integration.chain_fixtures import (
    SOL,
    SYSTEM,
    Caller,
    RpcFailure,
    pay,
    signed,
)


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
