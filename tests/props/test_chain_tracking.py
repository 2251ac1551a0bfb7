"""Nodes that lag, as chance has it: a transaction that is in the chain is never called dead, and one that is decided is
decided once honest answers come."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from hypernode.chain.solana.tracking import Expired, Finalized, Landed, Status, Tracking

FINALITY = 3
LAST_VALID = 10
END = 40


class Chain(msgspec.Struct):
    """Slots are heights and times. The transaction is executed in slot `lands`, if ever."""

    lands: int | None

    def status(self, time: int) -> Status | None:
        if self.lands is None or time < self.lands:
            return None
        return Status(self.lands, None, "finalized" if time >= self.lands + FINALITY else "confirmed")


def ask(tracking: Tracking, node: int, chain: Chain, status_at: int, finalized_at: int, valid_at: int) -> None:
    """One round of `sending._ask`, each question answered as things were at some time."""
    counts = tracking.asked_for_status(node)
    tracking.status(node, status_at, chain.status(status_at), counts=counts)
    tracking.finalized(node, Finalized(max(0, finalized_at - FINALITY), max(0, finalized_at - FINALITY)))
    if tracking.past_height() and not tracking.asked_for_status(node):
        tracking.blockhash(node, valid_at, valid_at <= LAST_VALID)


lags = st.one_of(st.just(0), st.integers(0, END))


@given(
    lands=st.one_of(st.none(), st.integers(0, LAST_VALID)),
    nodes=st.integers(1, 3),
    rounds=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2), lags, lags, lags), max_size=60),
)
def test_what_is_in_the_chain_is_never_called_dead(lands, nodes, rounds):
    chain, tracking, now = Chain(lands), Tracking(LAST_VALID, "confirmed", nodes), 0
    for passed, node, *behind in rounds:
        now = min(END, now + passed)
        ask(tracking, node % nodes, chain, *(max(0, now - lag) for lag in behind))
        verdict = tracking.verdict()
        if isinstance(verdict, Expired):
            assert lands is None
        if isinstance(verdict, Landed):
            assert verdict.slot == lands
    for _ in range(3):
        for node in range(nodes):
            ask(tracking, node, chain, END, END, END)
    assert tracking.verdict() == (Expired() if lands is None else Landed(lands, None))


@given(st.integers(1, 3))
def test_a_minority_cannot_call_it_dead(extra):
    """Nodes that answer count against all that are asked."""
    nodes = 2 * extra
    tracking = Tracking(LAST_VALID, "confirmed", nodes)
    for node in range(extra):
        for _ in range(3):
            ask(tracking, node, Chain(None), END, END, END)
    assert tracking.verdict() is None


def test_the_commitment_that_is_wanted_is_waited_for():
    tracking = Tracking(LAST_VALID, "finalized", 1)
    chain = Chain(5)
    for time, expected in ((5, None), (7, None), (8, Landed(5, None))):
        ask(tracking, 0, chain, time, time, time)
        assert tracking.verdict() == expected


def test_one_that_vanished_with_a_fork_is_looked_for_anew():
    tracking = Tracking(LAST_VALID, "finalized", 1)
    ask(tracking, 0, Chain(None), END, END, END)
    tracking.status(0, END, Status(9, None, "processed"), counts=True)
    assert tracking.verdict() is None
    tracking.status(0, END, None, counts=tracking.asked_for_status(0))
    assert tracking.verdict() is None
    for _ in range(2):
        ask(tracking, 0, Chain(None), END, END, END)
    assert tracking.verdict() == Expired()
