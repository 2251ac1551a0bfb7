"""A job through escrow, split and burn on the local chain: the programs are set up by our client and then driven by
Anchor's, both from nothing but the IDLs."""

from __future__ import annotations

import json
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey
from solders.system_program import CreateAccountParams, create_account
from solders.token.associated import get_associated_token_address

from hypernode.chain.local.process import LocalChain
from hypernode.chain.local.settings import Program as Placed
from hypernode.chain.local.settings import Settings
from hypernode.chain.solana.client import Account, SolanaClient
from hypernode.chain.solana.errors import ProgramFailed
from hypernode.chain.solana.idl.model import read_idl
from hypernode.chain.solana.idl.program import Program
from hypernode.chain.solana.sending import Pace
from hypernode.chain.solana.transactions import address
from hypernode.kernel.keys import KeyPair
from integration.chain_fixtures import SOL, Caller, local_chain
from integration.test_chain_clients import CLIENTS, run

PROGRAMS = Path(__file__).parents[2] / "programs"
NAMES = ("token", "nodes", "staking", "rewards", "markets")
TOKEN = Pubkey.from_string("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA")
ASSOCIATED = Pubkey.from_string("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL")
SYSTEM = Pubkey.from_string("11111111111111111111111111111111")
LOADER = Pubkey.from_string("BPFLoaderUpgradeab1e11111111111111111111111")
HYPER = 1_000_000
SUPPLY = 1_000_000_000 * HYPER
LOCKED = 84_603_487 * HYPER
DAY = 86_400
SPLIT = {"treasury": 1000, "incentive": 400, "stakers": 100, "royalty": 500}
TERMS: dict[str, Any] = {
    "rate": 2_000,
    "fixed": 10_000,
    "least_weight": 100 * HYPER,
    "longest_seconds": 7_200,
    "queue_seconds": 3_600,
    "grace_seconds": 600,
    "dispute_seconds": 3_600,
    "fresh_seconds": 300,
    "least_score": 400,
    "padding": bytes(2),
}


class Network:
    """The programs on a chain, initialized, with HYPER and people."""

    def __init__(
        self, chain: LocalChain, client: SolanaClient, programs: dict[str, Program], deployer: KeyPair
    ) -> None:
        self.client, self.programs, self.deployer = client, programs, deployer
        self.chain, self.rpc = chain, Caller(chain.url)
        self.mint = KeyPair.generate()

    def derived(self, program: str, *seeds: bytes) -> Pubkey:
        return Pubkey.find_program_address(list(seeds), self.programs[program].address)[0]

    async def send(self, program: str, name: str, signers: list[KeyPair], accounts: Any, **arguments: Any) -> None:
        made = await self.client.instruction(self.programs[program], name, arguments, accounts)
        await self.client.send_and_confirm([made], signers)

    async def person(self) -> KeyPair:
        key = KeyPair.generate()
        self.rpc("requestAirdrop", key.public, 100 * SOL, {"commitment": "processed"})
        self.rpc("hypernode_warp", {"slots": 2})
        return key

    async def tokens(self, holder: Pubkey, amount: int = 0) -> Pubkey:
        """A holder's token account, with so much HYPER from the deployer."""
        mint, payer = address(self.mint), address(self.deployer)
        place = get_associated_token_address(holder, mint)
        metas = [AccountMeta(payer, True, True), AccountMeta(place, False, True)]
        metas += [AccountMeta(key, False, False) for key in (holder, mint, SYSTEM, TOKEN)]
        made = [Instruction(ASSOCIATED, b"\x01", metas)]
        if amount:
            source = get_associated_token_address(payer, mint)
            metas = [AccountMeta(source, False, True), AccountMeta(place, False, True), AccountMeta(payer, True, False)]
            made.append(Instruction(TOKEN, struct.pack("<BQ", 3, amount), metas))
        await self.client.send_and_confirm(made, [self.deployer])
        return place

    async def balance(self, place: Pubkey) -> int:
        account = await self.client.account(place)
        assert isinstance(account, Account)
        return int.from_bytes(account.data[64:72], "little")

    async def make_mint(self) -> None:
        """The whole supply to the deployer, and nobody who could make more."""
        mint, payer = address(self.mint), address(self.deployer)
        rent = self.rpc("getMinimumBalanceForRentExemption", 82)
        made = create_account(
            CreateAccountParams(from_pubkey=payer, to_pubkey=mint, lamports=rent, space=82, owner=TOKEN)
        )
        begin = Instruction(TOKEN, bytes([20, 6]) + bytes(payer) + b"\0", [AccountMeta(mint, False, True)])
        await self.client.send_and_confirm([made, begin], [self.deployer, self.mint])
        place = await self.tokens(payer)
        metas = [AccountMeta(mint, False, True), AccountMeta(place, False, True), AccountMeta(payer, True, False)]
        mint_all = Instruction(TOKEN, struct.pack("<BQ", 7, SUPPLY), metas)
        give_up = Instruction(
            TOKEN, bytes([6, 0, 0]), [AccountMeta(mint, False, True), AccountMeta(payer, True, False)]
        )
        await self.client.send_and_confirm([mint_all, give_up], [self.deployer])

    async def initialize(self, program: str, accounts: dict[str, Any], more: Any = (), **arguments: Any) -> None:
        own = self.programs[program].address
        given = {
            "deployer": self.deployer.public,
            "this": own,
            "program_data": Pubkey.find_program_address([bytes(own)], LOADER)[0],
            **accounts,
        }
        made = self.programs[program].instruction("initialize", arguments, given, more)
        await self.client.send_and_confirm([made], [self.deployer])


@pytest.fixture
async def network() -> AsyncIterator[Network]:
    deployer = KeyPair.generate()
    programs, placed = {}, []
    for name in NAMES:
        own = KeyPair.generate().public
        programs[name] = Program(read_idl((PROGRAMS / "idl" / f"{name}.json").read_bytes()), own)
        placed.append(Placed(own, PROGRAMS / "binaries" / f"{name}.so", deployer.public))
    with local_chain(Settings(port=0, slot_ms=40, finality_slots=4, programs=tuple(placed))) as chain:
        pace = Pace(resend_s=0.5, poll_s=0.02, patience_s=30)
        async with SolanaClient([chain.url], programs=list(programs.values()), pace=pace) as client:
            made = Network(chain, client, programs, deployer)
            made.rpc("requestAirdrop", deployer.public, 1000 * SOL, {"commitment": "processed"})
            made.rpc("hypernode_warp", {"slots": 2})
            await made.make_mint()
            yield made


async def test_a_job_goes_through_escrow_split_and_burn(network: Network, tmp_path: Path) -> None:
    send, programs, deployer = network.send, network.programs, network.deployer
    mint = network.mint.public
    treasury, incentive, operations = [
        await network.tokens(address(KeyPair.generate())) for _ in ("treasury", "incentive", "operations")
    ]
    pools = {name: network.derived(name, b"pool") for name in ("rewards", "staking")}
    rewards_vault = network.derived("rewards", b"vault")
    ids = {name: str(program.address) for name, program in programs.items()}

    # Set up, in the order in which the programs read each other.
    await network.initialize("rewards", {"mint": mint}, staking=ids["staking"], staking_pool=str(pools["staking"]))
    told = network.rpc("hypernode_warp", {})["unixTimestamp"]
    source = get_associated_token_address(address(deployer), address(network.mint))
    await network.initialize(
        "token",
        {"mint": mint, "source": source, "stakers": rewards_vault, "operations": operations},
        authority=deployer.public,
        start=told + 30 * DAY,
    )
    verifiers = [AccountMeta(address(KeyPair.generate()), False, False) for _ in range(3)]
    await network.initialize("nodes", {}, verifiers, authority=deployer.public, threshold=2)
    slasher = KeyPair.generate()
    await network.initialize(
        "staking",
        {"mint": mint, "slashed": await network.tokens(address(slasher))},
        authority=deployer.public,
        slasher=slasher.public,
        rewards=ids["rewards"],
        rewards_pool=str(pools["rewards"]),
        parameters={"least_amount": HYPER, "shortest_days": 14, "longest_days": 365, "padding": bytes(4)},
    )
    config = network.derived("markets", b"config")
    await network.initialize(
        "markets",
        {"mint": mint, "treasury": treasury, "incentive": incentive, "stakers": rewards_vault},
        authority=deployer.public,
        nodes=ids["nodes"],
        nodes_config=str(network.derived("nodes", b"config")),
        staking=ids["staking"],
        split=SPLIT,
    )
    await send(
        "markets", "create_market", [deployer], {"authority": deployer.public, "config": config}, id=0, terms=TERMS
    )
    market = network.derived("markets", b"market", bytes(address(deployer)), bytes(8))
    await send("markets", "open_page", [deployer], {"payer": deployer.public, "market": market}, index=0)

    # A node with a stake.
    owner, node = await network.person(), await network.person()
    owner_tokens = await network.tokens(address(owner), 10_000 * HYPER)
    await send("staking", "open", [deployer], {"payer": deployer.public}, owner=owner.public, id=0)
    stake = network.derived("staking", b"stake", bytes(address(owner)), bytes(8))
    staking = {"pool": pools["staking"], "stake": stake, "source": owner_tokens, "rewards_vault": rewards_vault}
    await send("staking", "stake", [owner], staking, amount=9_000 * HYPER, days=30)
    await send("nodes", "register", [owner, node], {"owner": owner.public, "key": node.public}, capability=bytes(32))
    await send("markets", "open_capacity", [deployer], {"payer": deployer.public, "config": config, "stake": stake})

    # The job, by Anchor's client.
    client, author = await network.person(), KeyPair.generate()
    client_tokens = await network.tokens(address(client), 100 * HYPER)
    author_tokens = await network.tokens(address(author))
    context = {
        "programs": ids,
        "idls": str(PROGRAMS / "idl"),
        "client": list(client.seed),
        "node": list(node.seed),
        "author": author.public,
        "market": str(market),
        "config": str(config),
        "stake": str(stake),
        "page": str(network.derived("markets", b"page", bytes(market), bytes(8))),
        "nodeRecord": str(network.derived("nodes", b"node", bytes(address(node)))),
        "capacity": str(network.derived("markets", b"capacity", bytes(stake))),
        "vesting": str(network.derived("token", b"vesting")),
        "ledger": str(network.derived("token", b"burns")),
        "clientToken": str(client_tokens),
        "operatorToken": str(owner_tokens),
        "authorToken": str(author_tokens),
    }
    path = tmp_path / "context.json"
    path.write_text(json.dumps(context))
    run(["node", "job.js", network.chain.url, network.chain.websocket_url, str(path)], CLIENTS / "typescript")

    price = TERMS["rate"] * 600 + TERMS["fixed"]
    parts = {name: price * bps // 10_000 for name, bps in SPLIT.items()}
    assert await network.balance(client_tokens) == 100 * HYPER - price - HYPER  # one was burned
    assert await network.balance(author_tokens) == parts["royalty"]
    assert await network.balance(owner_tokens) == 1_000 * HYPER + price - sum(parts.values())
    assert await network.balance(treasury) == parts["treasury"]
    supply = network.rpc("getTokenSupply", mint, {"commitment": "confirmed"})["value"]
    assert int(supply["amount"]) == SUPPLY - HYPER
    ((_, ledger),) = await network.client.records(programs["token"], "BurnLedger", dict)
    assert (ledger["count"], ledger["cumulative"]) == (1, HYPER)

    # What a program refuses has its name.
    with pytest.raises(ProgramFailed) as caught:
        await send("markets", "open_page", [deployer], {"payer": deployer.public, "market": market}, index=7)
    assert caught.value.name is not None
    assert caught.value.program == ids["markets"]
