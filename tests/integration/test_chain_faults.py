"""A network that loses, delays, repeats and lies about having sent, between the client and the chain: whatever it does,
a payment is executed once, and what the client calls dead never is."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from solders.instruction import Instruction
from solders.system_program import TransferParams, transfer

from hypernode.chain.local.process import LocalChain
from hypernode.chain.local.settings import Settings
from hypernode.chain.solana import sending, transactions
from hypernode.chain.solana.client import SolanaClient
from hypernode.chain.solana.errors import RpcUnreachable, TransactionExpired, TransactionUndecided
from hypernode.chain.solana.sending import Pace
from hypernode.chain.solana.tracking import Expired, Finalized, Landed, Status, Tracking
from hypernode.chain.solana.transactions import Signed
from hypernode.kernel.keys import KeyPair
from integration.chain_fixtures import SOL, Caller, local_chain

PAYMENTS = 40
PACE = Pace(resend_s=0.2, poll_s=0.1, patience_s=8)


@pytest.fixture(scope="module")
def chain() -> Iterator[LocalChain]:
    """Its blockhashes expire within two seconds."""
    with local_chain(Settings(port=0, slot_ms=10, finality_slots=8)) as running:
        yield running


class BadNetwork(httpx.AsyncBaseTransport):
    """Between a client and a node. `evil` is the share of requests that something happens to. For `silent_s` from the
    first sending on nothing that is sent arrives, although the node says it did; for `blind_s` from the first question
    on, what became of transactions is told as of the slot of that question, when none of them was there yet."""

    def __init__(self, seed: int, evil: float, silent_s: float, blind_s: float) -> None:
        self._inner = httpx.AsyncHTTPTransport()
        self._random = random.Random(seed)
        self._evil, self._silent_s, self._blind_s = evil, silent_s, blind_s
        self._earlier: dict[str, list[dict[str, Any]]] = {}
        self._began: dict[str, float] = {}
        self._seen_slot: int | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        now = asyncio.get_running_loop().time()
        asked = json.loads(await request.aread())
        since_s = now - self._began.setdefault(asked["method"], now)
        if asked["method"] == "sendTransaction" and since_s < self._silent_s:
            return httpx.Response(200, json={"jsonrpc": "2.0", "id": asked["id"], "result": "1" * 64})
        if asked["method"] == "getSignatureStatuses" and since_s < self._blind_s:
            if self._seen_slot is None:
                told = json.loads((await self._forward(request, asked)).content)
                self._seen_slot = told["result"]["context"]["slot"]
            nothing = {"context": {"slot": self._seen_slot}, "value": [None]}
            return httpx.Response(200, json={"jsonrpc": "2.0", "id": asked["id"], "result": nothing})
        if self._random.random() >= self._evil:
            return await self._forward(request, asked)
        match self._random.choice(["lose", "lose the answer", "delay", "twice", "stale", "stale", "busy", "mixed up"]):
            case "lose":
                raise httpx.ConnectError("lost on its way")
            case "lose the answer":
                await self._forward(request, asked)
                raise httpx.ReadTimeout("lost on its way back")
            case "delay":
                await asyncio.sleep(self._random.uniform(0.0, 0.3))
                return await self._forward(request, asked)
            case "twice":
                await self._forward(request, asked)
                return await self._forward(request, asked)
            case "stale" if earlier := self._earlier.get(_question(asked)):
                return httpx.Response(200, json=self._random.choice(earlier) | {"id": asked["id"]})
            case "busy":
                return httpx.Response(self._random.choice([429, 502, 503]), text="busy")
            case "mixed up":
                return httpx.Response(200, json={"jsonrpc": "2.0", "id": asked["id"] + 1, "result": None})
        return await self._forward(request, asked)

    async def _forward(self, request: httpx.Request, asked: dict[str, Any]) -> httpx.Response:
        again = httpx.Request("POST", request.url, headers=request.headers, content=request.content)
        response = await self._inner.handle_async_request(again)
        content = await response.aread()
        await response.aclose()
        self._earlier.setdefault(_question(asked), []).append(json.loads(content))
        return httpx.Response(response.status_code, content=content)

    async def aclose(self) -> None:
        await self._inner.aclose()


def _question(asked: dict[str, Any]) -> str:
    return json.dumps([asked["method"], asked["params"]])


def pay(payer: KeyPair, to: KeyPair, lamports: int) -> Instruction:
    params = TransferParams(
        from_pubkey=transactions.address(payer), to_pubkey=transactions.address(to), lamports=lamports
    )
    return transfer(params)


async def payment(chain: LocalChain, seed: int, payer: KeyPair) -> int:
    """One payment through a bad network, begun anew whenever the client says that it never happened, until it says that
    it did: how often it was executed."""
    chance = random.Random(seed)
    network = BadNetwork(
        seed,
        evil=chance.choice([0.1, 0.4, 0.7]),
        silent_s=chance.choice([0.0, 0.0, 1.0, 2.5]),
        blind_s=chance.choice([0.0, 0.0, 2.0, 4.0]),
    )
    to = KeyPair.generate()
    urls = [chain.url, chain.url.replace("127.0.0.1", "localhost")][: chance.choice([1, 2])]
    done = False
    async with SolanaClient(urls, pace=PACE, transport=network) as client:
        while not done:
            try:
                await client.send_and_confirm([pay(payer, to, SOL)], [payer], attempts=4)
                done = True
            except TransactionUndecided as undecided:
                done = await settle(chain, undecided)
            except (TransactionExpired, RpcUnreachable):
                pass  # dead for certain, or it never got as far as being sent
    caller = Caller(chain.url)
    found = caller("getSignaturesForAddress", to.public, {"commitment": "confirmed"})
    assert caller("getBalance", to.public, {"commitment": "confirmed"})["value"] == SOL * len(found)
    return len(found)


async def settle(chain: LocalChain, undecided: TransactionUndecided) -> bool:
    """Whether it was executed, as is known once the network is good again."""
    async with SolanaClient([chain.url], pace=Pace(resend_s=0.2, poll_s=0.1, patience_s=120)) as client:
        try:
            await client.send(undecided.signed)
        except TransactionExpired:
            return False
        return True


async def test_every_payment_is_executed_once(chain: LocalChain) -> None:
    payer, rpc = KeyPair.generate(), Caller(chain.url)
    rpc("requestAirdrop", payer.public, 1000 * SOL, {"commitment": "processed"})
    rpc("hypernode_warp", {"slots": 10})
    executed = await asyncio.gather(*(payment(chain, seed, payer) for seed in range(PAYMENTS)))
    assert executed == [1] * PAYMENTS


class Hasty(Tracking):
    """Calls a transaction dead as soon as a block beyond its time is final and a node does not know it, as clients
    commonly do."""

    past, unknown = False, False

    def finalized(self, node: int, seen: Finalized) -> None:
        self.past = self.past or seen.height > self._last_valid
        super().finalized(node, seen)

    def status(self, node: int, context_slot: int, found: Status | None, *, counts: bool) -> None:
        self.unknown = found is None
        super().status(node, context_slot, found, counts=counts)

    def verdict(self) -> Landed | Expired | None:
        return super().verdict() or (Expired() if self.past and self.unknown else None)


@pytest.mark.parametrize(("rule", "executed"), [(Tracking, 1), (Hasty, 2)])
async def test_a_hastier_rule_pays_twice(
    chain: LocalChain, rule: type[Tracking], executed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the test above can fail: over a node that is behind with what became of transactions, with nothing else."""
    monkeypatch.setattr(sending, "Tracking", rule)
    payer, to, rpc = KeyPair.generate(), KeyPair.generate(), Caller(chain.url)
    rpc("requestAirdrop", payer.public, 10 * SOL, {"commitment": "processed"})
    rpc("hypernode_warp", {"slots": 10})

    async def let_time_pass(signed: Signed) -> None:
        asyncio.get_running_loop().call_later(0.2, rpc, "hypernode_warp", {"slots": 200})

    network = BadNetwork(0, evil=0.0, silent_s=0.0, blind_s=float("inf"))
    pace = Pace(resend_s=0.05, poll_s=0.02, patience_s=3)
    async with SolanaClient([chain.url], pace=pace, transport=network) as client:
        with pytest.raises(TransactionUndecided if rule is Tracking else TransactionExpired):
            await client.send_and_confirm([pay(payer, to, SOL)], [payer], attempts=2, keep=let_time_pass)
    rpc("hypernode_warp", {"slots": 10})
    assert rpc("getBalance", to.public)["value"] == executed * SOL
