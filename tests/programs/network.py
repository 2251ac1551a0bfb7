"""A whole network on chain: programs set up as a deployment does, with stakers, nodes, markets and jobs."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict
from nacl.signing import SigningKey
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.litesvm import LiteSVM
from solders.pubkey import Pubkey

from hypernode.chain.programs import deployment
from hypernode.chain.programs.calls import Call
from hypernode.chain.programs.deployment import Roles, initializations, panels, split, votes
from hypernode.governance.parameters import Parameters
from hypernode.governance.unlocks import LOCKED

from .world import DAY, ED25519, HYPER, START, Sent, World

SALT = b"s" * 32
TERMS = asdict(deployment.TERMS)
SPLIT, PANELS, VOTING = (asdict(each(Parameters())) for each in (split, panels, votes))
NODES_AND_MONEY = ("token", "nodes", "staking", "rewards", "markets")
ALL = (*NODES_AND_MONEY, "slashing", "governance")


@dataclass
class Operator:
    """An owner with a stake and a node."""

    owner: Keypair
    key: Keypair
    tokens: Pubkey
    stake: Pubkey
    node: Pubkey
    capacity: Pubkey


@dataclass
class Job:
    """A job and who opened it."""

    client: Keypair
    tokens: Pubkey
    address: Pubkey
    id: int
    seconds: int
    author: Pubkey
    page: Pubkey


@dataclass
class Network:
    """The world with every program initialized."""

    programs: tuple[str, ...] = NODES_AND_MONEY
    seed: int = 0
    suffix: str = ".so"
    attack: Callable[..., None] | None = None
    svm: LiteSVM | None = None
    vesting_start: int = START + 30 * DAY
    world: World = field(init=False)

    def __post_init__(self) -> None:
        self.world = world = World(*self.programs, seed=self.seed, suffix=self.suffix, svm=self.svm)
        world.attack = self.attack
        self.verifiers = [world.person() for _ in range(3)]
        self.authority = world.person()
        """Stands for governance where governance is not part of the test."""
        named = world.named
        authority = (
            world.address("governance", "authority") if "governance" in self.programs else self.authority.pubkey()
        )
        self.authority_key = authority
        named["treasury"] = world.tokens(authority)
        for name in ("incentive", "operations"):
            named[name] = world.tokens(world.key())
        named["rewards.pool"] = named["rewards_pool"] = world.address("rewards", "pool")
        named["rewards.vault"] = named["rewards_vault"] = named["stakers"] = world.address("rewards", "vault")
        named["staking.pool"] = named["staking_pool"] = world.address("staking", "pool")
        named["staking.vault"] = named["staking_vault"] = world.address("staking", "vault")
        named["nodes.config"] = named["markets.verifiers"] = world.address("nodes", "config")
        named["markets.config"] = world.address("markets", "config")
        named["vesting"] = world.address("token", "vesting")
        named["token.ledger"] = world.address("token", "burns")
        named["token.vault"] = world.address("token", "vault")
        named["collection"] = world.address("token", "collection")
        if "slashing" in self.programs:
            named["slashing.config"] = world.address("slashing", "config")
            named["slashing.signer"] = world.address("slashing", "authority")
            named["slashing.vault"] = world.address("slashing", "vault")
            named["slashing.staking"] = world.ids["staking"]
        if "governance" in self.programs:
            named["governance.config"] = world.address("governance", "config")
            named["governance.signer"] = world.address("governance", "authority")
        self.slasher = Keypair.from_seed(world.random.randbytes(32))
        slasher = world.address("slashing", "authority") if "slashing" in self.programs else self.slasher.pubkey()
        named["slashed"] = world.address("slashing", "vault") if "slashing" in self.programs else world.tokens(slasher)
        named["slasher"] = slasher
        deployer = world.deployer.pubkey()
        roles = Roles(
            deployer=deployer, mint=world.mint, source=world.tokens(deployer, LOCKED), treasury=named["treasury"],
            incentive=named["incentive"], operations=named["operations"],
            verifiers=tuple(each.pubkey() for each in self.verifiers), vesting_starts_at=self.vesting_start,
            authority=authority, slasher=slasher, slashed=named["slashed"],
        )  # fmt: skip
        for step in initializations(world.ids, roles):
            values = {**arguments_in(step.call), **step.accounts}
            world.send(step.call.program, step.call.name, world.deployer, rest=step.more, **values)

    def verifier_keys(self) -> list[AccountMeta]:
        return [AccountMeta(each.pubkey(), False, False) for each in self.verifiers]

    def verifier_metas(self, count: int = 2) -> list[AccountMeta]:
        return [AccountMeta(each.pubkey(), True, False) for each in self.verifiers[:count]]

    # --- stakes and nodes -----------------------------------------------------------------------------------------
    def stake(self, owner: Keypair, source: Pubkey, amount: int, days: int = 30, id: int = 0,
              before: Sequence[Instruction] = ()) -> Pubkey:  # fmt: skip
        world = self.world
        stake = world.address("staking", "stake", owner.pubkey(), id)
        if not world.exists(stake):
            world.send("staking", "open", world.payer, payer=world.payer.pubkey(), owner=owner.pubkey(), id=id)
        world.send(
            "staking", "stake", owner, before=before, owner=owner.pubkey(), stake=stake, source=source, amount=amount,
            days=days,
        )  # fmt: skip
        return stake

    def operator(self, amount: int = 1_000 * HYPER, days: int = 30) -> Operator:
        world = self.world
        owner, key = world.person(), world.person()
        tokens = world.tokens(owner.pubkey(), amount)
        stake = self.stake(owner, tokens, amount, days)
        world.send("nodes", "register", owner, key, owner=owner.pubkey(), key=key.pubkey(), capability=b"c" * 32)
        world.send("markets", "open_capacity", world.payer, payer=world.payer.pubkey(), stake=stake)
        return Operator(
            owner, key, tokens, stake, world.address("nodes", "node", key.pubkey()),
            world.address("markets", "capacity", stake),
        )  # fmt: skip

    def unstake(self, owner: Keypair, stake: Pubkey, before: Sequence[Instruction] = ()) -> Sent:
        return self.world.send("staking", "unstake", owner, before=before, owner=owner.pubkey(), stake=stake)

    def withdraw(self, owner: Keypair, stake: Pubkey, tokens: Pubkey) -> Sent:
        return self.world.send("staking", "withdraw", owner, owner=owner.pubkey(), stake=stake, destination=tokens)

    def reward(self, amount: int) -> Sent:
        """Bring tokens into the rewards' vault and distribute them."""
        world = self.world
        world.pay(world.reserve, world.bank, world.named["rewards_vault"], amount)
        return world.send("rewards", "distribute")

    def claim(self, stake: Pubkey, tokens: Pubkey, before: Sequence[Instruction] = ()) -> Sent:
        world = self.world
        if not world.exists(world.address("rewards", "claim", stake)):
            world.send("rewards", "register", world.payer, payer=world.payer.pubkey(), stake=stake)
        return world.send(
            "rewards", "claim", before=before, stake=stake, claim=world.address("rewards", "claim", stake),
            destination=tokens,
        )  # fmt: skip

    # --- reports --------------------------------------------------------------------------------------------------
    def report(
        self, reporter: Keypair, tokens: Pubkey, stake: Pubkey, kind: str = "InvalidResult", id: int = 0
    ) -> Pubkey:
        world = self.world
        world.send(
            "slashing", "report", reporter, reporter=reporter.pubkey(), stake=stake, source=tokens, id=id, kind=kind,
            evidence=b"e" * 32,
        )  # fmt: skip
        return world.address("slashing", "case", reporter.pubkey(), id)

    def nominate(self, case: Pubkey, operator: Operator) -> Sent:
        return self.world.send("slashing", "nominate", case=case, stake=operator.stake, node=operator.node)

    def judge(self, case: Pubkey, votes: list[tuple[Operator, bool]]) -> Sent:
        """One whole round, with these on the panel and so voting."""
        world = self.world
        number = world.record("slashing", "Case", case)["round"]
        world.wait(20)
        world.send("slashing", "draw", case=case)
        for operator, _ in votes:
            self.nominate(case, operator)
        world.wait(DAY)
        for operator, vote in votes:
            self.commit(case, operator, vote, number)
        world.wait(DAY)
        for operator, vote in votes:
            self.reveal(case, operator, vote)
        world.wait(DAY)
        return self.close_round(case)

    def commit(self, case: Pubkey, operator: Operator, vote: bool, number: int = 1) -> Sent:
        key = operator.key.pubkey()
        message = bytes([vote]) + SALT + bytes(case) + bytes([number]) + bytes(key)
        return self.world.send(
            "slashing", "commit", operator.key, key=key, case=case, commitment=hashlib.sha256(message).digest()
        )

    def reveal(self, case: Pubkey, operator: Operator, vote: bool) -> Sent:
        return self.world.send(
            "slashing", "reveal", operator.key, key=operator.key.pubkey(), case=case, for_report=vote, salt=SALT
        )

    def close_round(self, case: Pubkey) -> Sent:
        stake = self.world.record("slashing", "Case", case)["stake"]
        return self.world.send("slashing", "close_round", case=case, stake=stake)

    def execute_case(self, case: Pubkey, reporter_token: Pubkey, before: Sequence[Instruction] = ()) -> Sent:
        stake = self.world.record("slashing", "Case", case)["stake"]
        return self.world.send(
            "slashing", "execute", before=before, case=case, stake=stake, reporter_token=reporter_token
        )

    # --- proposals ------------------------------------------------------------------------------------------------
    def propose(self, proposer: Keypair, stake: Pubkey, kind: str = "Text", call: Instruction | None = None,
                id: int = 0, title: str = "A proposal", image: bytes = b"") -> Pubkey:  # fmt: skip
        world = self.world
        world.send(
            "governance", "propose", proposer, proposer=proposer.pubkey(), stake=stake, id=id, kind=kind, title=title,
            program=call.program_id if call else Pubkey.default(), payload=bytes(call.data) if call else b"",
            accounts_hash=accounts_hash(call, image) if call else bytes(32),
        )  # fmt: skip
        return world.address("governance", "proposal", proposer.pubkey(), id)

    def vote(self, proposal: Pubkey, voter: Keypair, stake: Pubkey, choice: str = "For") -> Sent:
        return self.world.send(
            "governance", "vote", voter, voter=voter.pubkey(), proposal=proposal, stake=stake, choice=choice
        )

    def execute(self, proposal: Pubkey, call: Instruction | None = None) -> Sent:
        world = self.world
        rest = [AccountMeta(each.pubkey, False, each.is_writable) for each in call.accounts] if call else []
        program = world.record("governance", "Proposal", proposal)["program"]
        return world.send("governance", "execute", rest=rest, proposal=proposal, program=program)

    # --- markets and jobs -----------------------------------------------------------------------------------------
    def market(self, id: int = 0, **terms: Any) -> Pubkey:
        world = self.world
        maker = world.payer
        market = world.address("markets", "market", maker.pubkey(), id)
        world.send("markets", "create_market", maker, authority=maker.pubkey(), id=id, terms=TERMS | terms)
        self.use(market)
        self.page()
        return market

    def use(self, market: Pubkey) -> None:
        self.world.named["market"] = market
        self.world.named["markets.vault"] = self.world.address("markets", "vault", market)

    def page(self, ahead: int = 0) -> Pubkey:
        """The page of the next place, made if it is not there."""
        world = self.world
        market = world.named["market"]
        index = world.record("markets", "Market", market)["tail"] // 64 + ahead
        page = world.address("markets", "page", market, index)
        if not world.exists(page):
            world.send("markets", "open_page", world.payer, payer=world.payer.pubkey(), index=index)
        return page

    def terms(self) -> dict[str, Any]:
        """Those of the market now."""
        terms: dict[str, Any] = self.world.record("markets", "Market", self.world.named["market"])["terms"]
        return terms

    def open(self, client: Keypair | None = None, tokens: Pubkey | None = None, *, id: int | None = None,
             seconds: int = 3_600, author: Pubkey | None = None) -> Job:  # fmt: skip
        world = self.world
        client = client or world.person()
        tokens = tokens or world.tokens(client.pubkey(), 100 * HYPER)
        id = id if id is not None else world.random.randrange(2**63)
        page = self.page()
        world.send(
            "markets", "open", client, client=client.pubkey(), source=tokens, page=page, id=id, seconds=seconds,
            document=b"d" * 32, author=author or Pubkey.default(), terms=self.terms(),
        )  # fmt: skip
        return Job(
            client, tokens, world.address("markets", "job", client.pubkey(), id), id, seconds,
            author or Pubkey.default(), page,
        )  # fmt: skip

    def take(self, job: Job, operator: Operator) -> Sent:
        return self.world.send(
            "markets", "take", operator.key, key=operator.key.pubkey(), job=job.address, page=job.page,
            node=operator.node, stake=operator.stake, capacity=operator.capacity,
        )  # fmt: skip

    def checkpoint(self, operator: Operator) -> Sent:
        sequence = self.world.record("nodes", "Node", operator.node)["sequence"] + 1
        return self.world.send(
            "nodes", "checkpoint", operator.key, key=operator.key.pubkey(), node=operator.node, sequence=sequence,
            checkpoint=b"k" * 32,
        )  # fmt: skip

    def submit(self, job: Job, operator: Operator, seconds: int) -> Sent:
        return self.world.send(
            "markets", "submit", operator.key, key=operator.key.pubkey(), job=job.address, receipt=b"r" * 32,
            seconds=seconds,
        )  # fmt: skip

    def payees(self, job: Job, operator: Operator, author_token: Pubkey | None = None) -> dict[str, Any]:
        return {"job": job.address, "operator_token": operator.tokens, "author_token": author_token or operator.tokens}

    def endings(self, job: Job, operator: Operator, author_token: Pubkey | None = None) -> dict[str, Any]:
        return self.payees(job, operator, author_token) | {
            "capacity": operator.capacity, "client_token": job.tokens, "client": job.client.pubkey(),
        }  # fmt: skip

    def settle(
        self, job: Job, operator: Operator, caller: Keypair | None = None, author_token: Pubkey | None = None
    ) -> Sent:
        caller = caller or job.client
        return self.world.send(
            "markets", "settle", caller, caller=caller.pubkey(), **self.endings(job, operator, author_token)
        )

    def refund(self, job: Job, operator: Operator) -> Sent:
        values = self.endings(job, operator)
        del values["operator_token"], values["author_token"]
        return self.world.send("markets", "refund", **values)

    def give_back(self, job: Job, operator: Operator) -> Sent:
        """The node gives the job back; it has a new place then."""
        job.page = self.page()
        return self.world.send(
            "markets", "give_back", operator.key, key=operator.key.pubkey(), job=job.address, page=job.page,
            capacity=operator.capacity,
        )  # fmt: skip

    def cancel(self, job: Job, caller: Keypair | None = None) -> Sent:
        caller = caller or job.client
        return self.world.send(
            "markets", "cancel", caller, caller=caller.pubkey(), page=job.page, job=job.address,
            client_token=job.tokens, client=job.client.pubkey(),
        )  # fmt: skip

    def dispute(self, job: Job) -> Sent:
        return self.world.send(
            "markets", "dispute", job.client, client=job.client.pubkey(), job=job.address, source=job.tokens,
            reason=b"w" * 32,
        )  # fmt: skip

    def resolve(self, job: Job, operator: Operator, *, for_node: bool, verifiers: int = 2) -> Sent:
        return self.world.send(
            "markets", "resolve", *self.verifiers[:verifiers], rest=self.verifier_metas(verifiers), for_node=for_node,
            **self.endings(job, operator),
        )  # fmt: skip

    def voucher(self, job: Job, cumulative: int) -> bytes:
        """What the client signs."""
        world = self.world
        record = world.record("markets", "Job", job.address)
        return (
            b"hypernode:voucher:v1" + bytes(world.ids["markets"]) + bytes(record["market"]) + bytes(job.address)
            + struct.pack("<Q", record["serial"]) + bytes(record["node"]) + struct.pack("<Q", cumulative)
        )  # fmt: skip

    def proof(self, job: Job, cumulative: int) -> Instruction:
        return signature(job.client, self.voucher(job, cumulative))

    def redeem(self, job: Job, operator: Operator, cumulative: int, proof: Instruction | None = None) -> Sent:
        proof = proof or signature(job.client, self.voucher(job, cumulative))
        return self.world.send("markets", "redeem", before=[proof], cumulative=cumulative, **self.payees(job, operator))

    def owed(self) -> tuple[int, int]:
        """What the market's vault holds, and what the market owes."""
        world = self.world
        market = world.record("markets", "Market", world.named["market"])
        due = sum(market[each] for each in ("held", "due_treasury", "due_incentive", "due_stakers"))
        return world.balance(world.named["markets.vault"]), due


def arguments_in(call: Call) -> dict[str, Any]:
    """A call's arguments as World.send takes them."""
    return {name: asdict(each) if isinstance(each, Struct) else each for name, each in call.arguments.items()}


def accounts_hash(call: Instruction, image: bytes = b"") -> bytes:
    """What a proposal says of the accounts it is executed with, and of the image if it is an upgrade."""
    parts = b"".join(bytes(each.pubkey) + bytes([each.is_signer | each.is_writable << 1]) for each in call.accounts)
    return hashlib.sha256(parts + image).digest()


def signature(signer: Keypair, message: bytes, **changed: Any) -> Instruction:
    """A call of the Ed25519 precompile in the form every library writes."""
    signed = SigningKey(bytes(signer)[:32]).sign(message).signature
    header = struct.pack(
        "<BBHHHHHHH", changed.get("count", 1), 0, 48, changed.get("signature_index", 0xFFFF), 16,
        changed.get("key_index", 0xFFFF), 112, changed.get("size", len(message)), changed.get("message_index", 0xFFFF),
    )  # fmt: skip
    return Instruction(ED25519, header + bytes(signer.pubkey()) + signed + message, [])
