"""Whatever is asked of the local chain is answered or refused with a code of its own; nothing is an internal error, and
nothing that is refused changes the chain."""

from __future__ import annotations

import base64

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import Message, MessageV0
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, advance_nonce_account, transfer
from solders.transaction import VersionedTransaction

from hypernode.chain.local.chain import Chain
from hypernode.chain.local.notices import KINDS, Subscriptions
from hypernode.chain.local.rpc.api import METHODS
from hypernode.chain.local.rpc.dispatch import answer
from hypernode.chain.local.settings import Settings

INTERNAL = -32603
PAYER = Keypair()
TOKEN = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"


@pytest.fixture(scope="module")
def asked():
    subscriptions = Subscriptions()
    chain = Chain(Settings(slot_ms=60_000), subscriptions)
    subscriptions.chain = chain
    chain.airdrop(PAYER.pubkey(), 10**12, chain.bank.hashes.at(chain.bank.slot)[1])
    return chain, subscriptions


keys = st.sampled_from([str(PAYER.pubkey()), TOKEN, "11111111111111111111111111111111", "1" * 44, "0", ""])
numbers = st.one_of(st.integers(-2, 3), st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False))
scalars = st.one_of(st.none(), st.booleans(), numbers, st.text(max_size=8), keys)
FIELDS = (
    *("commitment", "encoding", "dataSlice", "filters", "memcmp", "dataSize", "offset", "length", "bytes", "mint"),
    *("programId", "minContextSlot", "limit", "before", "until", "slots", "seconds", "accounts", "addresses"),
    *("mentions", "sigVerify", "replaceRecentBlockhash", "skipPreflight", "maxSupportedTransactionVersion"),
)
words = st.sampled_from(["processed", "confirmed", "finalized", "base58", "base64", "jsonParsed", "base64+zstd", "all"])
values = st.recursive(
    scalars | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4),
    max_leaves=8,
)
methods = st.sampled_from(sorted(METHODS.names - {"hypernode_warp"}))


def code_of(raw: bytes):
    told = msgspec.json.decode(raw)
    return told.get("error", {}).get("code")


@settings(max_examples=400)
@given(methods, st.lists(values, max_size=3) | values)
def test_any_parameters(asked, name, params):
    chain, _ = asked
    body = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": name, "params": params})
    before = chain.bank.transactions
    code = code_of(answer(body, lambda method, given: METHODS.call(chain, method, given)))
    # An airdrop can be one of those that leave an account with less than it must hold.
    assert code != INTERNAL or name == "requestAirdrop"
    assert chain.bank.transactions == before or name == "requestAirdrop"


@given(st.sampled_from([f"{kind}{what}" for kind in KINDS for what in ("Subscribe", "Unsubscribe")]), values)
def test_any_subscription(asked, name, params):
    _, subscriptions = asked

    class Subscriber:
        def take(self, notice: bytes) -> None:
            msgspec.json.decode(notice)

    me = Subscriber()
    body = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": name, "params": params})
    code = code_of(answer(body, lambda method, given: subscriptions.call(me, method, given)))
    assert code != INTERNAL
    subscriptions.drop(me)


@given(st.binary(max_size=200))
def test_any_bytes(asked, body):
    chain, _ = asked
    told = msgspec.json.decode(answer(body, lambda method, given: METHODS.call(chain, method, given)))
    assert "error" in told


pay = transfer(TransferParams(from_pubkey=PAYER.pubkey(), to_pubkey=Pubkey.default(), lamports=10**9))
nonce = advance_nonce_account({"nonce_pubkey": Pubkey.from_string(TOKEN), "authorized_pubkey": PAYER.pubkey()})
GOOD = [
    bytes(VersionedTransaction(MessageV0.try_compile(PAYER.pubkey(), [nonce, pay], [], Hash.default()), [PAYER])),
    bytes(VersionedTransaction(Message.new_with_blockhash([pay], PAYER.pubkey(), Hash.default()), [PAYER])),
]


@settings(max_examples=600)
@given(
    st.sampled_from(GOOD),
    st.lists(st.tuples(st.integers(64, 1300), st.integers(0, 255)), max_size=6),
    st.binary(max_size=6),
    st.sampled_from(["simulateTransaction", "sendTransaction"]),
)
def test_any_transaction_near_a_good_one(asked, good, changes, more, name):
    """Bytes of the message changed, some appended: they reach the runtime unless they are refused before."""
    chain, _ = asked
    wire = bytearray(good)
    for at, value in changes:
        wire[at % len(wire)] = value
    wire += more
    config = (
        {"encoding": "base64", "replaceRecentBlockhash": True} if name.startswith("sim") else {"encoding": "base64"}
    )
    params = [base64.b64encode(wire).decode(), config]
    body = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": name, "params": params})
    before = chain.bank.account(PAYER.pubkey())
    told = msgspec.json.decode(answer(body, lambda method, given: METHODS.call(chain, method, given)))
    assert told.get("error", {}).get("code") != INTERNAL
    assert chain.bank.account(PAYER.pubkey()) == before
