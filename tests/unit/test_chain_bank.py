"""The bank alone: what it adds to the runtime, against plain models of it."""

from __future__ import annotations

import random
import struct

import pytest
from solders.account import Account
from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

from hypernode.chain.local.bank import Bank, Rejected
from hypernode.chain.local.message import SYSTEM
from hypernode.chain.local.runtime import PRECOMPILES
from hypernode.chain.local.settings import HASH_SLOTS, HASHES_KEPT
from hypernode.chain.local.tokens import ui_amount
from hypernode.chain.local.views import Preimages
from hypernode.chain.local.window import BlockhashWindow, last_valid

OWNER = Pubkey.from_bytes(bytes([7] * 32))


def test_a_hash_is_valid_from_its_slot_on_and_150_slots_more():
    window = BlockhashWindow()
    for slot in range(1000):
        window.add(slot, slot.to_bytes(32, "big"))
    for slot in (486, 487, 849, 850, 999):
        raw = slot.to_bytes(32, "big")
        assert window.valid(raw, 999) == (999 - slot <= HASH_SLOTS)
        assert not window.valid(raw, slot - 1)
        assert window.valid(raw, slot) == (slot >= 999 - HASHES_KEPT)
    assert last_valid(849) == 999
    assert window.at(900) == (900, (900).to_bytes(32, "big"))
    assert not window.valid(b"?" * 32, 999)


def test_views_are_as_a_full_copy_of_each_slot_would_be():
    chance = random.Random(1)
    views: Preimages[int, int] = Preimages()
    now: dict[int, int] = {}
    copies: dict[int, dict[int, int]] = {}
    for slot in range(1, 200):
        for _ in range(chance.randrange(4)):
            key = chance.randrange(8)
            views.before_change(slot, key, now.get(key))
            if chance.random() < 0.2:
                now.pop(key, None)
            else:
                now[key] = chance.randrange(1000)
        copies[slot] = dict(now)
        root = max(0, slot - 32)
        views.forget(root)
        for then in range(max(1, root), slot + 1):
            for key in range(8):
                assert views.at(then, key, now.get(key)) == copies[then].get(key)
            changed = views.changed_since(then)
            seen = {key: value for key, value in now.items() if key not in changed}
            seen |= {key: value for key, value in changed.items() if value is not None}
            assert seen == copies[then]


def bank_with(payer: Keypair) -> Bank:
    bank = Bank(unix_time=1_000, finality_slots=4)
    bank.set_account(payer.pubkey(), Account(10**12, b"", SYSTEM))
    return bank


def paid(bank: Bank, payer: Keypair, to: Pubkey, lamports: int) -> VersionedTransaction:
    blockhash = Hash.from_bytes(bank.hashes.at(bank.slot)[1])
    params = TransferParams(from_pubkey=payer.pubkey(), to_pubkey=to, lamports=lamports)
    return VersionedTransaction(MessageV0.try_compile(payer.pubkey(), [transfer(params)], [], blockhash), [payer])


def test_accounts_as_of_earlier_slots():
    payer, to = Keypair(), Keypair().pubkey()
    bank = bank_with(payer)
    for number in range(8):
        bank.execute(paid(bank, payer, to, 10**9 + number))
        bank.advance(1, 1_000)
    seen = [account.lamports // 10**9 if (account := bank.account(to, slot)) else 0 for slot in range(5, 10)]
    assert seen == [5, 6, 7, 8, 8]
    owned = dict(bank.program_accounts(SYSTEM, bank.root))
    assert owned[to].lamports // 10**9 == 5


def test_program_accounts_as_of_earlier_slots():
    bank = Bank(unix_time=0, finality_slots=4)
    bank.advance(1, 0)
    first, second = Keypair().pubkey(), Keypair().pubkey()
    bank.set_account(first, Account(10**9, b"a", OWNER))
    bank.advance(1, 0)
    bank.set_account(second, Account(10**9, b"b", OWNER))
    bank.set_account(first, Account(10**9, b"c", SYSTEM))
    bank.advance(1, 0)
    assert {key: account.data for key, account in bank.program_accounts(OWNER)} == {second: b"b"}
    assert {key: account.data for key, account in bank.program_accounts(OWNER, 2)} == {first: b"a"}
    assert dict(bank.program_accounts(OWNER, 1)) == {}


def test_a_transaction_is_refused_twice_also_after_a_long_jump():
    payer, to = Keypair(), Keypair().pubkey()
    bank = bank_with(payer)
    once = paid(bank, payer, to, 10**9)
    bank.execute(once)
    with pytest.raises(Rejected) as caught:
        bank.execute(once)
    assert caught.value.error == "AlreadyProcessed"
    bank.advance(10**6, 2_000)
    with pytest.raises(Rejected) as caught:
        bank.execute(once)
    assert caught.value.error == "BlockhashNotFound"
    assert bank.slot == 10**6 + 1
    with pytest.raises(ValueError, match="only grow"):
        bank.advance(0, 2_000)
    with pytest.raises(ValueError, match="forward"):
        bank.set_time(1_999)


def test_programs_see_the_hashes_of_closed_blocks():
    bank = Bank(unix_time=0)
    sysvar = Pubkey.from_string("SysvarS1otHashes111111111111111111111111111")
    for jump in (1, 1, 10_000):
        bank.advance(jump, 0)
        account = bank.account(sysvar)
        assert account is not None
        data = account.data
        (count,) = struct.unpack_from("<Q", data)
        slots = [struct.unpack_from("<Q", data, 8 + 40 * number)[0] for number in range(count)]
        assert slots == list(range(bank.slot - 1, max(-1, bank.slot - 513), -1))
        assert data[16:48] == bank.hashes.at(bank.slot - 1)[1]


def test_what_leaves_no_trace_costs_nothing():
    """The fee is taken for what was executed only; what the runtime refuses before is as if it had never come."""
    payer, poor = Keypair(), Keypair()
    bank = bank_with(payer)
    before = bank.account(payer.pubkey())
    for tried in (paid(bank, poor, payer.pubkey(), 1), _to_nowhere(bank, payer)):
        with pytest.raises(Rejected):
            bank.execute(tried)
    assert bank.account(payer.pubkey()) == before
    assert (bank.transactions, list(bank.recent_blocks())) == (0, [])


def _to_nowhere(bank: Bank, payer: Keypair) -> VersionedTransaction:
    blockhash = Hash.from_bytes(bank.hashes.at(bank.slot)[1])
    lost = Instruction(Keypair().pubkey(), b"", [])
    return VersionedTransaction(MessageV0.try_compile(payer.pubkey(), [lost], [], blockhash), [payer])


@pytest.mark.parametrize(
    ("amount", "decimals", "text"),
    [(0, 0, "0"), (5, 0, "5"), (0, 6, "0"), (1, 6, "0.000001"), (1_250_000, 6, "1.25"), (10**18, 9, "1000000000")],
)
def test_amounts_as_wallets_show_them(amount, decimals, text):
    assert ui_amount(amount, decimals)["uiAmountString"] == text
    assert ui_amount(amount, decimals)["amount"] == str(amount)


@pytest.mark.parametrize("honest", [True, False])
@pytest.mark.parametrize("all_features", [True, False])
def test_the_precompile_verifies_signatures(honest, all_features):
    bank = Bank(unix_time=0, all_features=all_features)
    payer = Keypair()
    bank.set_account(payer.pubkey(), Account(10**12, b"", SYSTEM))
    message = b"a voucher"
    signature = bytes(payer.sign_message(message if honest else b"another"))
    # One signature, with key, signature and message behind the header, all in this instruction.
    header = struct.pack("<BBHHHHHHH", 1, 0, 48, 0xFFFF, 16, 0xFFFF, 112, len(message), 0xFFFF)
    proof = Instruction(PRECOMPILES[0], header + bytes(payer.pubkey()) + signature + message, [])
    blockhash = Hash.from_bytes(bank.hashes.at(bank.slot)[1])
    sent = VersionedTransaction(MessageV0.try_compile(payer.pubkey(), [proof], [], blockhash), [payer])
    try:
        error = bank.execute(sent).error
    except Rejected as rejected:
        error = rejected.error
    assert (error is None) == honest
