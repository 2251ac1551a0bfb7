"""Requests to the local chain that are wrong, too large, too many, or from elsewhere."""

from __future__ import annotations

import base64

import pytest
from solders.keypair import Keypair

from integration.chain_fixtures import (
    SOL,
    Caller,
    RpcFailure,
    make_large,
    pay,
    signed,
)


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
