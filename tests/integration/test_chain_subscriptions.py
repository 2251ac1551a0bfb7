"""Subscriptions to the local chain over WebSocket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import websockets
from solders.keypair import Keypair

from hypernode.chain.local.process import LocalChain
from integration.chain_fixtures import (
    SOL,
    SYSTEM,
    Caller,
    make_large,
    pay,
    signed,
)


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
