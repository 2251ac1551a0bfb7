"""The Solana client against the local chain."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from solders.instruction import Instruction
from solders.system_program import CreateAccountParams, TransferParams, create_account, transfer
from solders.token.associated import get_associated_token_address

from hypernode.chain.local.process import LocalChain
from hypernode.chain.local.settings import Settings
from hypernode.chain.solana import tokens, transactions
from hypernode.chain.solana.client import SolanaClient
from hypernode.chain.solana.errors import (
    ProgramFailed,
    RpcAnswerInvalid,
    RpcUnreachable,
    TransactionExpired,
    TransactionFailed,
)
from hypernode.chain.solana.idl.model import read_idl
from hypernode.chain.solana.idl.program import Program
from hypernode.chain.solana.sending import Pace
from hypernode.chain.solana.transactions import Signed
from hypernode.kernel.errors import InvalidInput
from hypernode.kernel.keys import KeyPair
from integration.chain_fixtures import SOL, SYSTEM, Caller, local_chain

TOKEN = Program(read_idl((Path(__file__).parents[1] / "clients" / "idl" / "token.json").read_bytes()))
QUICK = Pace(resend_s=0.2, poll_s=0.02, patience_s=30)


@pytest.fixture(scope="module")
def chain() -> Iterator[LocalChain]:
    with local_chain(Settings(port=0, slot_ms=40, finality_slots=4)) as running:
        yield running


@pytest.fixture
async def client(chain: LocalChain) -> AsyncIterator[SolanaClient]:
    async with SolanaClient([chain.url], programs=[TOKEN], pace=QUICK) as made:
        yield made


def funded(rpc: Caller, lamports: int = 10 * SOL) -> KeyPair:
    key = KeyPair.generate()
    rpc("requestAirdrop", key.public, lamports, {"commitment": "processed"})
    rpc("hypernode_warp", {"slots": 5})
    return key


def pay(payer: KeyPair, to: KeyPair, lamports: int) -> Instruction:
    params = TransferParams(
        from_pubkey=transactions.address(payer), to_pubkey=transactions.address(to), lamports=lamports
    )
    return transfer(params)


async def test_our_keys_pay(client: SolanaClient, rpc: Caller) -> None:
    payer, to = funded(rpc), KeyPair.generate()
    kept: list[Signed] = []

    async def keep(signed: Signed) -> None:
        kept.append(signed)

    done = await client.send_and_confirm([pay(payer, to, SOL)], [payer], keep=keep)
    assert await client.balance(transactions.address(to)) == SOL
    # What was written down can be sent again, by a process that knows nothing else, and changes nothing.
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(kept[0]), type=Signed)
    assert await client.send(again) == done
    assert await client.balance(transactions.address(to)) == SOL


async def test_what_would_fail_is_not_sent(client: SolanaClient, rpc: Caller) -> None:
    payer, to = funded(rpc), KeyPair.generate()
    with pytest.raises(ProgramFailed) as caught:
        await client.send_and_confirm([pay(payer, to, 100 * SOL)], [payer])
    assert (caught.value.signature, caught.value.program, caught.value.number) == (None, str(SYSTEM), 1)
    assert any("insufficient lamports" in line for line in caught.value.logs)
    assert await client.balance(transactions.address(payer)) == 10 * SOL


async def test_what_failed_on_the_chain_is_told(client: SolanaClient, rpc: Caller) -> None:
    payer, to = funded(rpc), KeyPair.generate()
    first = await client.prepare([pay(payer, to, 6 * SOL)], [payer])
    second = await client.prepare([pay(payer, to, 7 * SOL)], [payer])
    await client.send(first)
    with pytest.raises(ProgramFailed) as caught:
        await client.send(second)
    assert caught.value.signature == second.signature
    assert await client.balance(transactions.address(to)) == 6 * SOL


async def test_an_expired_transaction_is_found_dead_and_signed_anew(client: SolanaClient, rpc: Caller) -> None:
    payer, to = funded(rpc), KeyPair.generate()
    late = await client.prepare([pay(payer, to, SOL)], [payer])
    rpc("hypernode_warp", {"slots": 160})
    with pytest.raises(TransactionExpired):
        await client.send(late)
    assert await client.balance(transactions.address(to)) == 0

    made: list[Signed] = []

    async def let_the_first_expire(signed: Signed) -> None:
        made.append(signed)
        if len(made) == 1:
            rpc("hypernode_warp", {"slots": 160})

    done = await client.send_and_confirm([pay(payer, to, SOL)], [payer], keep=let_the_first_expire)
    assert [signed.signature == done.signature for signed in made] == [False, True]
    assert await client.balance(transactions.address(to)) == SOL


async def test_signers_and_size_are_checked_before_anything_is_sent(client: SolanaClient, rpc: Caller) -> None:
    payer, other = funded(rpc), funded(rpc)
    with pytest.raises(InvalidInput, match=f"missing of .*{other.public}"):
        await client.prepare([pay(payer, other, SOL), pay(other, payer, SOL)], [payer])
    with pytest.raises(InvalidInput, match="split it"):
        await client.prepare([Instruction(SYSTEM, b"x" * 1200, [])], [payer])


async def test_a_node_that_does_not_answer_is_passed_over(chain: LocalChain, rpc: Caller) -> None:
    payer, to = funded(rpc), KeyPair.generate()
    dead = "http://127.0.0.1:9"
    async with SolanaClient([dead, chain.url], pace=QUICK) as client:
        await client.send_and_confirm([pay(payer, to, SOL)], [payer])
        assert await client.balance(transactions.address(to)) == SOL
    async with SolanaClient([dead], pace=QUICK) as client:
        with pytest.raises(RpcUnreachable):
            await client.balance(transactions.address(to))


async def test_a_chain_on_this_machine_is_not_asked_through_a_proxy(
    chain: LocalChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with SolanaClient([chain.url]) as client:
        assert await client.balance(SYSTEM) >= 0


@contextlib.asynccontextmanager
async def a_node_that_hangs() -> AsyncIterator[str]:
    """It takes every request and never answers."""

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.read(65536):
                pass
        finally:
            writer.close()

    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize("first", [True, False])
async def test_a_node_that_hangs_holds_nobody_up(chain: LocalChain, rpc: Caller, first: bool) -> None:
    payer, to = funded(rpc), KeyPair.generate()
    async with a_node_that_hangs() as hanging:
        urls = [hanging, chain.url] if first else [chain.url, hanging]
        # The first is waited for once; whoever waits for it again and again, or for the second at all, is too late.
        async with SolanaClient(urls, pace=QUICK, timeout_s=4.0 if first else 60.0) as client, asyncio.timeout(20):
            for _ in range(3):
                await client.send_and_confirm([pay(payer, to, SOL)], [payer])
            assert await client.balance(transactions.address(to)) == 3 * SOL


async def test_an_answer_that_never_ends_is_none(chain: LocalChain) -> None:
    class Dribble(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            while True:
                yield b" "
                await asyncio.sleep(0.01)

    transport = httpx.MockTransport(lambda request: httpx.Response(200, stream=Dribble()))
    async with SolanaClient(["http://node"], timeout_s=0.5, transport=transport) as client, asyncio.timeout(10):
        with pytest.raises(RpcUnreachable):
            await client.balance(SYSTEM)


async def test_the_price_follows_what_others_pay(client: SolanaClient, rpc: Caller) -> None:
    payer, to = funded(rpc), KeyPair.generate()
    assert await client.unit_price([transactions.address(to)]) == 0
    signed = await client.prepare([pay(payer, to, SOL)], [payer])
    await client.send(signed)
    paid = rpc("getTransaction", signed.signature, {"maxSupportedTransactionVersion": 0, "commitment": "confirmed"})
    assert paid["meta"]["fee"] == 5000


async def test_a_program_from_its_idl_alone(client: SolanaClient, rpc: Caller) -> None:
    payer, mint, owner, other = funded(rpc), KeyPair.generate(), KeyPair.generate(), KeyPair.generate()
    key = transactions.address
    make = create_account(
        CreateAccountParams(
            from_pubkey=key(payer),
            to_pubkey=key(mint),
            lamports=rpc("getMinimumBalanceForRentExemption", 82),
            space=82,
            owner=TOKEN.address,
        )
    )
    begin = TOKEN.instruction(
        "initialize_mint",
        {"decimals": 6, "authority": payer.public, "freeze_authority": None},
        {"mint": mint.public},
    )
    await client.send_and_confirm([make, begin], [payer, mint])
    mint_to = await client.instruction(
        TOKEN,
        "mint_to",
        {"amount": 5_000_000, "owner": owner.public},
        {"mint": mint.public, "authority": payer.public},
    )
    place = get_associated_token_address(key(owner), key(mint))
    assert mint_to.accounts[1].pubkey == place
    await client.send_and_confirm([holding(payer, owner, mint), mint_to], [payer])

    class Mint(msgspec.Struct):
        authority: str
        supply: int
        decimals: int

    ((found, record),) = [item for item in await client.records(TOKEN, "Mint", Mint) if item[0] == key(mint)]
    assert (found, record) == (key(mint), Mint(payer.public, 5_000_000, 6))

    move = TOKEN.instruction(
        "transfer_checked",
        {"amount": 1, "decimals": 6},
        {
            "source": get_associated_token_address(key(payer), key(mint)),
            "mint": mint.public,
            "destination": place,
            "authority": payer.public,
        },
    )
    with pytest.raises(ProgramFailed, match="InsufficientFunds: Insufficient funds") as caught:
        await client.send_and_confirm([holding(payer, payer, mint), move], [payer])
    assert (caught.value.name, caught.value.number, caught.value.signature) == ("InsufficientFunds", 1, None)
    with pytest.raises(TransactionFailed):
        await client.send_and_confirm([holding(payer, other, payer)], [payer])


def holding(payer: KeyPair, owner: KeyPair, mint: KeyPair) -> Instruction:
    return tokens.open_place(*map(transactions.address, (payer, owner, mint)))


async def test_answers_that_are_not_what_they_should_be(chain: LocalChain) -> None:
    """A node that answers nonsense is a node that does not answer."""

    def nonsense(body: bytes) -> httpx.MockTransport:
        return httpx.MockTransport(lambda request: httpx.Response(200, content=body))

    good_id = json.dumps({"jsonrpc": "2.0", "id": 1, "result": {"context": {"slot": "x"}, "value": 1}}).encode()
    for body, expected in (
        (b"<html>", RpcUnreachable),
        (b'{"jsonrpc":"2.0","id":99,"result":1}', RpcUnreachable),
        (b'{"jsonrpc":"2.0","id":1,"error":{"code":-32005,"message":"Node is behind"}}', RpcUnreachable),
        (good_id, RpcAnswerInvalid),
        (b"x" * (33 * 1024 * 1024), RpcUnreachable),
    ):
        async with SolanaClient(["http://node"], transport=nonsense(body)) as client:
            with pytest.raises(expected):
                await client.balance(SYSTEM)


def test_an_event_counts_only_from_its_own_program() -> None:
    idl: dict[str, Any] = {
        "address": str(SYSTEM),
        "metadata": {"name": "x", "version": "0", "spec": "0.1.0"},
        "instructions": [],
        "events": [{"name": "Paid", "discriminator": [1, 2, 3, 4, 5, 6, 7, 8]}],
        "types": [{"name": "Paid", "type": {"kind": "struct", "fields": [{"name": "amount", "type": "u64"}]}}],
    }
    own, other = str(tokens.ASSOCIATED), str(TOKEN.address)
    program = Program(read_idl(json.dumps(idl).encode()), own)
    said = "Program data: " + base64.b64encode(bytes(range(1, 9)) + (7).to_bytes(8, "little")).decode()
    logs = [
        f"Program {own} invoke [1]",
        said,
        f"Program {other} invoke [2]",
        said,
        f"Program {other} success",
        "Program log: " + said,
        f"Program {own} consumed 10 of 200 compute units",
        f"Program {own} success",
        said,
    ]
    assert [(event.name, event.fields) for event in program.events(logs)] == [("Paid", {"amount": 7})]
