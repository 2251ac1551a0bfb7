"""Jobs on chain: from a node's stake to the settlement."""

from __future__ import annotations

from typing import Final

from solders.instruction import Instruction
from solders.pubkey import Pubkey

from hypernode.chain.programs.calls import Key
from hypernode.chain.programs.network import Network
from hypernode.chain.programs.typed import markets, nodes, rewards, staking
from hypernode.chain.programs.typed.markets import Job, Terms
from hypernode.chain.solana import tokens
from hypernode.chain.solana.errors import ValueUnfit
from hypernode.chain.solana.transactions import address
from hypernode.kernel.keys import KeyPair

PAGE_PLACES: Final = 64
"""Places of the queue that one page holds (PAGE_PLACES of markets)."""
_NOBODY: Final = str(Pubkey.default())

Given = dict[str, Key]


class Jobs:
    """What clients and nodes do with jobs of a network's market. Everything raises as Network.send."""

    def __init__(self, network: Network) -> None:
        self._network = network

    async def job(self, job: Pubkey) -> Job:
        """A job. Raises NotFound once it is closed."""
        return await self._network.record(Job, job)

    # ── nodes ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def enter(self, owner: KeyPair, node: KeyPair, *, amount: int, days: int, capability: bytes) -> Pubkey:
        """Register a node and lock its owner's HYPER, so that it may take jobs; the address of the stake. `capability`:
        the SHA-256 of what it offers. The owner pays."""
        network, who = self._network, address(owner)
        stake = network.programs["staking"].derived(b"stake", bytes(who), _u64(0))
        made = [
            await network.instruction(
                nodes.register(capability=capability), {"owner": owner.public, "key": node.public}
            ),
            await network.instruction(staking.open(owner=owner.public, id=0), {"payer": owner.public, "stake": stake}),
            *await self._distribution(),
            await network.instruction(
                staking.stake(amount=amount, days=days),
                {"owner": owner.public, "stake": stake, "source": network.place_of(who)},
            ),
            await network.instruction(markets.open_capacity(), {"payer": owner.public, "stake": stake}),
        ]
        await network.client.send_and_confirm(made, [owner, node])
        return stake

    async def checkpoint(self, node: KeyPair, state: bytes) -> None:
        """A sign of life, without which a node takes no jobs after a while; `state` is a SHA-256 of what it says."""
        record = self._network.programs["nodes"].derived(b"node", bytes(address(node)))
        known = await self._network.record(nodes.Node, record)
        call = nodes.checkpoint(sequence=known.sequence + 1, checkpoint=state)
        await self._network.send(call, [node], {"key": node.public, "node": record})

    async def take(self, node: KeyPair, job: Pubkey, stake: Pubkey) -> None:
        """Take a queued job, under the stake of the node's owner."""
        network, found = self._network, await self.job(job)
        given: Given = {
            "key": node.public,
            "job": job,
            "page": self._page(found.place),
            "node": network.programs["nodes"].derived(b"node", bytes(address(node))),
            "capacity": self._capacity(stake),
        }
        await network.send(markets.take(), [node], given)

    async def give_back(self, node: KeyPair, job: Pubkey) -> None:
        """Give a job back that nothing was paid for; it takes the next place in the queue."""
        stake = Pubkey.from_string((await self.job(job)).stake)
        page, _, made = await self._tail(node)
        given: Given = {"key": node.public, "job": job, "page": page, "capacity": self._capacity(stake)}
        made.append(await self._network.instruction(markets.give_back(), given))
        await self._network.client.send_and_confirm(made, [node])

    async def submit(self, node: KeyPair, job: Pubkey, *, receipt: bytes, seconds: int) -> None:
        """Say what a job took: the SHA-256 of its receipt and no more seconds than passed since it was taken."""
        call = markets.submit(receipt=receipt, seconds=seconds)
        await self._network.send(call, [node], {"key": node.public, "job": job})

    # ── clients ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def terms(self) -> Terms:
        """The market's terms now: prices, times, and what it wants of nodes."""
        return (await self._network.record(markets.Market, self._network.market)).terms

    async def open(
        self,
        client: KeyPair,
        *,
        id: int,
        seconds: int,
        document: bytes,
        author: Pubkey | None = None,
        terms: Terms | None = None,
    ) -> Pubkey:
        """Queue a job of at most so many seconds and deposit what it can cost; its address. `document`: the SHA-256 of
        the job document; `author`: who gets the royalty; `terms`: those agreed to, without which those of now are.
        Terms that have changed by the time it is executed are refused as TermsChanged. Ids are the client's to choose.
        Another job may take the last place of a page in between, which is refused as WrongPage: open it again."""
        network, who, market = self._network, address(client), self._network.market
        page, now, made = await self._tail(client)
        job = network.programs["markets"].derived(b"job", bytes(who), _u64(id))
        call = markets.open(
            id=id, seconds=seconds, document=document, author=author or Pubkey.default(), terms=terms or now
        )
        given: Given = {"client": client.public, "market": market, "page": page, "source": network.place_of(who)}
        made.append(await network.instruction(call, given))
        await network.client.send_and_confirm(made, [client])
        return job

    async def cancel(self, client: KeyPair, job: Pubkey) -> None:
        """Take a job out of the queue; everything comes back."""
        found = await self.job(job)
        given: Given = {
            "caller": client.public,
            "job": job,
            "page": self._page(found.place),
            "client_token": self._of(found.client),
        }
        await self._network.send(markets.cancel(), [client], given)

    async def settle(self, caller: KeyPair, job: Pubkey) -> None:
        """Have a submitted job paid: by its client at once, by anyone after the time to dispute it."""
        found = await self.job(job)
        given = {"caller": caller.public} | self._ending(job, found) | self._paid(found)
        made = await self._network.instruction(markets.settle(), given)
        await self._network.client.send_and_confirm([*self._places(caller, found), made], [caller])

    async def refund(self, payer: KeyPair, job: Pubkey) -> None:
        """Have everything not yet paid go back to the client of a job that was taken and not finished in its time;
        anyone may, who pays for the transaction."""
        await self._network.send(markets.refund(), [payer], self._ending(job, await self.job(job)))

    # ── accounts ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _distribution(self) -> list[Instruction]:
        """Stakes begin after all rewards there are have been distributed, to those who stake already."""
        pool = self._network.programs["staking"].derived(b"pool")
        weight = (await self._network.record(staking.Pool, pool)).weight
        return [await self._network.instruction(rewards.distribute())] if weight else []

    async def _tail(self, payer: KeyPair) -> tuple[Pubkey, Terms, list[Instruction]]:
        """The page of the queue's next place, the market's terms, and what makes the page if it is not there yet."""
        network, market = self._network, self._network.market
        found = await network.record(markets.Market, market)
        page, made = self._page(found.tail), []
        if await network.client.account(page) is None:
            opening = markets.open_page(index=found.tail // PAGE_PLACES)
            made.append(await network.instruction(opening, {"payer": payer.public, "market": market}))
        return page, found.terms, made

    def _page(self, place: int) -> Pubkey:
        network = self._network
        return network.programs["markets"].derived(b"page", bytes(network.market), _u64(place // PAGE_PLACES))

    def _capacity(self, stake: Pubkey) -> Pubkey:
        return self._network.programs["markets"].derived(b"capacity", bytes(stake))

    def _of(self, holder: str) -> Pubkey:
        return self._network.place_of(Pubkey.from_string(holder))

    def _ending(self, job: Pubkey, found: Job) -> Given:
        capacity = self._capacity(Pubkey.from_string(found.stake))
        return {"job": job, "capacity": capacity, "client_token": self._of(found.client)}

    def _paid(self, found: Job) -> Given:
        """Where the price goes; a job without an author has no royalty, and any account of the mint stands there."""
        author = found.operator if found.author == _NOBODY else found.author
        return {"operator_token": self._of(found.operator), "author_token": self._of(author)}

    def _places(self, caller: KeyPair, found: Job) -> list[Instruction]:
        """The accounts that are paid must be there; whoever asks for the settlement makes those that are missing."""
        holders = {holder for holder in (found.operator, found.author, found.client) if holder != _NOBODY}
        network, payer = self._network, address(caller)
        return [tokens.open_place(payer, Pubkey.from_string(holder), network.mint) for holder in sorted(holders)]


def _u64(value: int) -> bytes:
    try:
        return value.to_bytes(8, "little")
    except OverflowError as error:
        raise ValueUnfit(f"{value} does not fit in u64") from error
