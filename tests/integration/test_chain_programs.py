"""All programs on the local chain, set up as `chain:local --network` does: jobs by our client, and by Anchor's from
nothing but the IDLs."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from solders.pubkey import Pubkey

from hypernode.chain.local.process import LocalChain
from hypernode.chain.local.settings import Settings
from hypernode.chain.programs.bundle import IDLS, NAMES
from hypernode.chain.programs.deployment import SUPPLY, TERMS, split
from hypernode.chain.programs.jobs import Jobs
from hypernode.chain.programs.local import LocalNetwork, fund, key, set_up
from hypernode.chain.programs.network import Network
from hypernode.chain.programs.typed import governance, markets, nodes, slashing, staking, token
from hypernode.chain.solana.client import SolanaClient
from hypernode.chain.solana.errors import ProgramFailed, RpcUnreachable
from hypernode.chain.solana.sending import Pace
from hypernode.chain.solana.transactions import address
from hypernode.governance.parameters import Parameters
from hypernode.governance.unlocks import LOCKED
from hypernode.kernel.errors import InvalidInput, NotFound
from hypernode.kernel.keys import KeyPair
from hypernode.kernel.money import MICRO_PER_HYPER as HYPER
from integration.chain_fixtures import Caller, local_chain
from integration.test_chain_clients import CLIENTS, run

SPLIT = msgspec.structs.asdict(split(Parameters()))
QUICK = Pace(resend_s=0.5, poll_s=0.02, patience_s=30)
PRICE = TERMS.rate * 600 + TERMS.fixed
PARTS = {name: PRICE * bps // 10_000 for name, bps in SPLIT.items()}


def price_of(seconds: int) -> int:
    return TERMS.rate * seconds + TERMS.fixed


class Place:
    """A chain with all programs, and people on it."""

    def __init__(self, chain: LocalChain, local: LocalNetwork, network: Network) -> None:
        self.chain, self.local, self.network = chain, local, network
        self.jobs, self.rpc = Jobs(network), Caller(chain.url)

    async def person(self, hyper: int = 0) -> KeyPair:
        somebody = KeyPair.generate()
        await fund(self.local, self.network, somebody, hyper=hyper * HYPER)
        return somebody

    async def has(self, holder: KeyPair) -> int:
        return await self.network.tokens(address(holder))

    async def node(self) -> tuple[KeyPair, KeyPair, Pubkey]:
        """An owner with 1,000 HYPER left, a node and a stake."""
        owner, node = await self.person(10_000), await self.person()
        stake = await self.jobs.enter(owner, node, amount=9_000 * HYPER, days=30, capability=bytes(32))
        return owner, node, stake

    def work(self, seconds: int) -> None:
        self.rpc("hypernode_warp", {"seconds": seconds, "slots": 1})


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    local = LocalNetwork.generate()
    with local_chain(Settings(port=0, slot_ms=40, finality_slots=4, programs=local.placed())) as chain:
        await set_up(local, chain.url)
        async with Network(local, [chain.url], pace=QUICK) as network:
            yield Place(chain, local, network)


async def test_a_job_from_the_stake_to_the_settlement(place: Place) -> None:
    jobs, network = place.jobs, place.network
    owner, node, stake = await place.node()
    client, author = await place.person(100), KeyPair.generate()
    job = await jobs.open(client, id=7, seconds=3_600, document=b"d" * 32, author=address(author))
    found = await jobs.job(job)
    assert (found.state, found.client, found.deposit) == ("Queued", client.public, price_of(3_600))
    assert found.document == b"d" * 32
    await jobs.checkpoint(node, b"s" * 32)
    await jobs.take(node, job, stake)
    place.work(600)
    await jobs.submit(node, job, receipt=b"r" * 32, seconds=600)
    found = await jobs.job(job)
    assert (found.state, found.node, found.operator, found.price) == ("Submitted", node.public, owner.public, PRICE)
    with pytest.raises(ProgramFailed, match="TooEarly"):
        await jobs.settle(owner, job)
    await jobs.settle(client, job)
    with pytest.raises(NotFound):
        await jobs.job(job)
    assert await place.has(client) == 100 * HYPER - PRICE
    assert await place.has(author) == PARTS["royalty"]
    assert await place.has(owner) == 1_000 * HYPER + PRICE - sum(PARTS.values())
    await network.send(markets.sweep(), [client], {"market": network.market})
    treasury = network.programs["governance"].derived(b"authority")
    assert await network.tokens(treasury) == PARTS["treasury"]
    # The same id again is another job, in the next place.
    again = await jobs.open(client, id=7, seconds=60, document=b"d" * 32)
    assert (again, (await jobs.job(again)).place) == (job, found.place + 1)


async def test_jobs_that_end_otherwise(place: Place) -> None:
    jobs, network = place.jobs, place.network
    owner, node, stake = await place.node()
    client = await place.person(100)
    job = await jobs.open(client, id=1, seconds=60, document=bytes(32))
    with pytest.raises(ProgramFailed):
        await jobs.open(client, id=1, seconds=60, document=bytes(32))
    await jobs.cancel(client, job)
    job = await jobs.open(client, id=2, seconds=60, document=bytes(32))
    await jobs.take(node, job, stake)
    await jobs.give_back(node, job)
    found = await jobs.job(job)
    assert (found.state, found.node) == ("Queued", str(Pubkey.default()))
    await jobs.take(node, job, stake)
    with pytest.raises(ProgramFailed, match="TooEarly"):
        await jobs.refund(client, job)
    place.work(60 + TERMS.grace_seconds + 1)
    await jobs.refund(client, job)
    assert await place.has(client) == 100 * HYPER
    agreed = msgspec.structs.replace(await jobs.terms(), rate=1)
    with pytest.raises(ProgramFailed, match="TermsChanged"):
        await jobs.open(client, id=3, seconds=60, document=bytes(32), terms=agreed)
    # What has no method of its own goes by the names of the IDL.
    await network.send(staking.unstake(), [owner], {"owner": owner.public, "stake": stake})
    ((_, pool),) = await network.records(staking.Pool)
    assert (pool.amount, pool.weight) == (9_000 * HYPER, 0)
    assert [key for key, _ in await network.records(staking.Stake)] == [stake]
    for id in (-1, 2**64):
        with pytest.raises(InvalidInput, match="u64"):
            await jobs.open(client, id=id, seconds=60, document=bytes(32))


async def test_a_page_is_opened_when_the_queue_comes_to_it(place: Place) -> None:
    client = await place.person(100)
    places = []
    for id in range(66):
        job = await place.jobs.open(client, id=id, seconds=1, document=bytes(32))
        places.append((await place.jobs.job(job)).place)
    assert places == list(range(66))
    await place.jobs.cancel(client, job)


async def test_governance_has_a_say_in_every_program(place: Place) -> None:
    """As in a deployment that is meant: no person sets parameters."""
    network = place.network
    authority = str(network.programs["governance"].derived(b"authority"))
    assert (await network.records(governance.Authority))[0][0] == network.programs["governance"].derived(b"authority")
    kinds: list[Any] = [token.Vesting, nodes.Config, slashing.Config, staking.Pool, markets.Config]
    for kind in kinds:
        ((_, found),) = await network.records(kind)
        assert found.authority == authority, kind
    assert await network.tokens(address(key(place.local.deployer))) == SUPPLY - LOCKED


async def test_a_set_up_that_is_cut_off_is_taken_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """It dies after each of its transactions in turn."""
    local, sent, left = LocalNetwork.generate(), 0, 1
    send = SolanaClient.send_and_confirm

    async def send_one(client: SolanaClient, *arguments: Any, **options: Any) -> Any:
        nonlocal sent, left
        if not left:
            raise RpcUnreachable("cut off")
        sent, left = sent + 1, left - 1
        return await send(client, *arguments, **options)

    monkeypatch.setattr(SolanaClient, "send_and_confirm", send_one)
    with local_chain(Settings(port=0, slot_ms=40, finality_slots=4, programs=local.placed())) as chain:
        for _ in range(30):
            try:
                await set_up(local, chain.url)
                break
            except RpcUnreachable:
                # Beside the next step there are the accounts of treasury and others, which are made anew each time.
                left = 2
        assert sent > 2 * len(NAMES)
        left = 99
        async with Network(local, [chain.url], pace=QUICK) as network:
            client = KeyPair.generate()
            await fund(local, network, client, hyper=HYPER)
            await Jobs(network).open(client, id=0, seconds=1, document=bytes(32))
        before = Caller(chain.url)("getTokenSupply", local.mint)["value"]["amount"]
        await set_up(local, chain.url)
        assert Caller(chain.url)("getTokenSupply", local.mint)["value"]["amount"] == before == str(SUPPLY)


def test_a_file_keeps_a_network(tmp_path: Path) -> None:
    path = tmp_path / "network.json"
    made = LocalNetwork.kept(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert LocalNetwork.kept(path) == LocalNetwork.read(path) == made
    assert made != LocalNetwork.generate()
    assert set(made.programs) == set(NAMES)
    written = json.loads(path.read_text())
    for text, said in (
        ("{", "holds no network"),
        ("[]", "holds no network"),
        (" " * 70_000, "longer than"),
        (json.dumps(written | {"deployer": "x"}), "holds no network"),
        (json.dumps(written | {"programs": {}}), "addresses of rewards"),
    ):
        path.write_text(text)
        with pytest.raises(InvalidInput, match=said):
            LocalNetwork.kept(path)
    with pytest.raises(InvalidInput, match="cannot write"):
        LocalNetwork.kept(tmp_path / "nowhere" / "network.json")
    with pytest.raises(InvalidInput, match="cannot read"):
        LocalNetwork.read(tmp_path / "other.json")
    with pytest.raises(InvalidInput, match="are addresses"):
        Network(msgspec.structs.replace(made, mint="x"), ["http://127.0.0.1:1"])


async def test_a_job_by_anchor_through_escrow_split_and_burn(place: Place, tmp_path: Path) -> None:
    network = place.network
    owner, node, stake = await place.node()
    client, author = await place.person(100), await place.person()
    market, escrow, burns = network.market, network.programs["markets"], network.programs["token"]
    # Anchor's client does not open pages; ours does when the queue comes to one.
    await network.send(markets.open_page(index=0), [client], {"payer": client.public, "market": market})
    context = {
        "programs": place.local.programs,
        "idls": str(IDLS),
        "client": list(client.seed),
        "node": list(node.seed),
        "author": author.public,
        "market": str(market),
        "config": str(escrow.derived(b"config")),
        "stake": str(stake),
        "page": str(escrow.derived(b"page", bytes(market), bytes(8))),
        "nodeRecord": str(network.programs["nodes"].derived(b"node", bytes(address(node)))),
        "capacity": str(escrow.derived(b"capacity", bytes(stake))),
        "vesting": str(burns.derived(b"vesting")),
        "ledger": str(burns.derived(b"burns")),
        "clientToken": str(network.place_of(address(client))),
        "operatorToken": str(network.place_of(address(owner))),
        "authorToken": str(network.place_of(address(author))),
    }
    path = tmp_path / "context.json"
    path.write_text(json.dumps(context))
    run(["node", "job.js", place.chain.url, place.chain.websocket_url, str(path)], CLIENTS / "typescript")

    assert await place.has(client) == 100 * HYPER - PRICE - HYPER  # one was burned
    assert await place.has(author) == PARTS["royalty"]
    assert await place.has(owner) == 1_000 * HYPER + PRICE - sum(PARTS.values())
    supply = place.rpc("getTokenSupply", place.local.mint, {"commitment": "confirmed"})["value"]
    assert int(supply["amount"]) == SUPPLY - HYPER
    ((_, ledger),) = await network.records(token.BurnLedger)
    assert (ledger.count, ledger.cumulative) == (1, HYPER)

    # What a program refuses has its name.
    with pytest.raises(ProgramFailed) as caught:
        await network.send(markets.open_page(index=7), [client], {"payer": client.public, "market": market})
    assert (caught.value.name, caught.value.program) == ("WrongPage", place.local.programs["markets"])


async def test_a_job_by_a_client_that_codama_generates(place: Place, tmp_path: Path) -> None:
    network, client = place.network, await place.person(100)
    await network.send(markets.open_page(index=0), [client], {"payer": client.public, "market": network.market})
    escrow = network.programs["markets"]
    context = {
        "programs": place.local.programs,
        "idls": str(IDLS),
        "folder": str(tmp_path),
        "client": list(client.seed),
        "market": str(network.market),
        "config": str(escrow.derived(b"config")),
        "page": str(escrow.derived(b"page", bytes(network.market), bytes(8))),
        "clientToken": str(network.place_of(address(client))),
    }
    (path := tmp_path / "context.json").write_text(json.dumps(context))
    run(["node", "codama.js", place.chain.url, place.chain.websocket_url, str(path)], CLIENTS / "typescript")
    assert await place.has(client) == 100 * HYPER


def test_a_node_is_registered_by_solana_py(place: Place) -> None:
    folder = CLIENTS / "python"
    command = [str(folder / ".venv" / "bin" / "python"), "program.py", place.chain.url, str(IDLS / "nodes.json")]
    run([*command, place.local.programs["nodes"]], folder)
