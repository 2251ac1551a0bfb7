"""Markets: queue, escrow, vouchers and settlement of jobs

Made by `make programs` from `programs/markets/program.toml`; change that.
"""

# fmt: off
from __future__ import annotations

from typing import ClassVar, Literal

import msgspec

from hypernode.chain.programs.bundle import Name
from hypernode.chain.programs.calls import Call, Key, Record

JobState = Literal["Queued", "Assigned", "Submitted", "Disputed"]
Outcome = Literal["Cancelled", "Refunded", "Settled", "ResolvedForNode", "ResolvedForClient"]


class Split(msgspec.Struct, frozen=True, kw_only=True):
    """Basis points of a price; the operator gets the remainder, never below 8000."""

    treasury: int
    incentive: int
    stakers: int
    royalty: int


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """A market's terms: µHYPER a second and once, weight and score a node needs, and times in seconds."""

    rate: int
    fixed: int
    least_weight: int
    longest_seconds: int
    queue_seconds: int
    grace_seconds: int
    dispute_seconds: int
    fresh_seconds: int
    least_score: int
    padding: bytes = bytes(2)


class Config(Record, frozen=True, kw_only=True):
    """What holds in all markets."""

    of: ClassVar[Name] = "markets"

    authority: str
    mint: str
    nodes: str
    nodes_config: str
    staking: str
    treasury: str
    incentive: str
    stakers: str
    split: Split


class Market(Record, frozen=True, kw_only=True):
    """A market. Its vault holds `held` for jobs, and what is due to treasury, incentive pool and stakers."""

    of: ClassVar[Name] = "markets"

    authority: str
    mint: str
    vault: str
    id: int
    serial: int
    tail: int
    held: int
    due_treasury: int
    due_incentive: int
    due_stakers: int
    terms: Terms
    bump: int
    padding: bytes = bytes(7)


class Page(Record, frozen=True, kw_only=True):
    """64 places of a market's queue; a zero place was taken, or never filled."""

    of: ClassVar[Name] = "markets"

    market: str
    payer: str
    index: int
    live: int
    places: list[str]


class Job(Record, frozen=True, kw_only=True):
    """A job and its escrow, until it closes."""

    of: ClassVar[Name] = "markets"

    client: str
    market: str
    node: str
    operator: str
    stake: str
    author: str
    document: bytes
    receipt: bytes
    id: int
    serial: int
    place: int
    deposit: int
    paid: int
    price: int
    bond: int
    seconds: int
    opened_at: int
    assigned_at: int
    submitted_at: int
    disputed_at: int
    terms: Terms
    split: Split
    state: JobState
    bump: int
    padding: bytes = bytes(6)


class Capacity(Record, frozen=True, kw_only=True):
    """How many jobs run on the strength of a stake."""

    of: ClassVar[Name] = "markets"

    stake: str
    running: int


class JobOpened(msgspec.Struct, frozen=True, kw_only=True):
    job: str
    market: str
    client: str
    document: bytes
    serial: int
    place: int
    deposit: int


class JobTaken(msgspec.Struct, frozen=True, kw_only=True):
    job: str
    node: str
    stake: str


class JobGivenBack(msgspec.Struct, frozen=True, kw_only=True):
    job: str
    node: str
    place: int


class JobSubmitted(msgspec.Struct, frozen=True, kw_only=True):
    job: str
    receipt: bytes
    seconds: int
    price: int


class JobDisputed(msgspec.Struct, frozen=True, kw_only=True):
    job: str
    reason: bytes
    bond: int


class VoucherPaid(msgspec.Struct, frozen=True, kw_only=True):
    job: str
    amount: int
    treasury: int
    incentive: int
    stakers: int
    royalty: int
    operator: int


class JobClosed(msgspec.Struct, frozen=True, kw_only=True):
    job: str
    paid: int
    refunded: int
    treasury: int
    incentive: int
    stakers: int
    royalty: int
    operator: int
    outcome: Outcome


def initialize(*, authority: Key, nodes: Key, nodes_config: Key, staking: Key, split: Split) -> Call:
    """Sets the program up."""
    return Call("markets", "initialize", {
        "authority": authority, "nodes": nodes, "nodes_config": nodes_config, "staking": staking, "split": split,
    })


def set_parameters(*, split: Split) -> Call:
    """Changes the split and where its parts go, for jobs opened and parts swept from now on."""
    return Call("markets", "set_parameters", {"split": split})


def create_market(*, id: int, terms: Terms) -> Call:
    """Makes a market; anyone may."""
    return Call("markets", "create_market", {"id": id, "terms": terms})


def set_market(*, terms: Terms) -> Call:
    """Changes a market's terms for jobs opened from now on."""
    return Call("markets", "set_market", {"terms": terms})


def open_page(*, index: int) -> Call:
    """Makes the queue's page that the next places fall into, or the one after it."""
    return Call("markets", "open_page", {"index": index})


def retire_page() -> Call:
    """Closes a page once it is full and every job has left it; its rent goes to who paid it."""
    return Call("markets", "retire_page", {})


def open(*, id: int, seconds: int, document: bytes, author: Key, terms: Terms) -> Call:
    """Opens a job: deposits what it can cost at most, and takes a place in the queue. `terms` are those the client
    agreed to; if the market has others now, nothing is done.
    """
    return Call("markets", "open", {
        "id": id, "seconds": seconds, "document": document, "author": author, "terms": terms,
    })


def cancel() -> Call:
    """Takes a queued job back: its client at any time, anyone after its time in the queue."""
    return Call("markets", "cancel", {})


def open_capacity() -> Call:
    """Makes the count of running jobs of a stake."""
    return Call("markets", "open_capacity", {})


def take() -> Call:
    """Assigns a queued job to the node that signs, if it may have it."""
    return Call("markets", "take", {})


def give_back() -> Call:
    """The node gives a job back that it was not paid for yet; the job takes the next place in the queue, for the
    rest of its time there.
    """
    return Call("markets", "give_back", {})


def submit(*, receipt: bytes, seconds: int) -> Call:
    """The node says what it did and for how long."""
    return Call("markets", "submit", {"receipt": receipt, "seconds": seconds})


def redeem(*, cumulative: int) -> Call:
    """Pays what a voucher of the client allows beyond earlier ones; the instruction before proves its signature."""
    return Call("markets", "redeem", {"cumulative": cumulative})


def settle() -> Call:
    """Pays a job: its client at once, anyone after the time to dispute, or after that to resolve a dispute."""
    return Call("markets", "settle", {})


def refund() -> Call:
    """Gives the escrow of an assigned job back; anyone may, after its time and grace."""
    return Call("markets", "refund", {})


def dispute(*, reason: bytes) -> Call:
    """The client contests a result, with a bond."""
    return Call("markets", "dispute", {"reason": reason})


def resolve(*, for_node: bool) -> Call:
    """Verifiers decide a dispute.
    Further accounts: the verifiers that sign
    """
    return Call("markets", "resolve", {"for_node": for_node})


def sweep() -> Call:
    """Moves the parts of treasury, incentive pool and stakers on."""
    return Call("markets", "sweep", {})
