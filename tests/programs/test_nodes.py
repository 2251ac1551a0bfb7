"""Nodes: registered, alive, rated, retired."""

from __future__ import annotations

import pytest
from solders.instruction import AccountMeta

from .network import Network
from .world import refuses


@pytest.fixture
def network() -> Network:
    return Network()


def rate(network: Network, node, score: int, signers: int = 2, **changed):
    values = {"rest": network.verifier_metas(signers), "node": node, "score": score, "cause": 7} | changed
    return network.world.send("nodes", "record_reputation", *network.verifiers[:signers], **values)


def test_a_node_begins_in_the_middle_and_its_score_moves_its_tier(network):
    operator = network.operator()
    record = lambda: network.world.record("nodes", "Node", operator.node)  # noqa: E731
    assert (record()["score"], record()["tier"], record()["state"]) == (500, "Bronze", "Active")
    tiers = {0: "Starter", 200: "Starter", 201: "Bronze", 500: "Bronze", 501: "Silver", 750: "Silver", 751: "Gold",
             900: "Gold", 901: "Diamond", 1_000: "Diamond"}  # fmt: skip
    for score, tier in tiers.items():
        rate(network, operator.node, score)
        assert (record()["score"], record()["tier"], record()["cause"]) == (score, tier, 7)
    with refuses(network.world, "ScoreTooHigh", "nodes"):
        rate(network, operator.node, 1_001)


def test_a_score_needs_enough_different_verifiers(network):
    operator = network.operator()
    world = network.world
    with refuses(world, "NotEnoughVerifiers", "nodes"):
        rate(network, operator.node, 900, signers=1)
    with refuses(world, "NotEnoughVerifiers", "nodes"):
        rate(network, operator.node, 900, signers=1, rest=network.verifier_metas(1) * 2)
    with refuses(world, "NotSigner", "nodes"):
        silent = [*network.verifier_metas(1), AccountMeta(network.verifiers[1].pubkey(), False, False)]
        rate(network, operator.node, 900, signers=1, rest=silent)
    with refuses(world, "NotEnoughVerifiers", "nodes"):
        owner = operator.owner
        metas = [*network.verifier_metas(2), AccountMeta(owner.pubkey(), True, False)]
        world.send(
            "nodes",
            "record_reputation",
            *network.verifiers[:2],
            owner,
            rest=metas,
            node=operator.node,
            score=1,
            cause=1,
        )


def test_signs_of_life_only_go_forward(network):
    operator = network.operator()
    world = network.world
    values = {"key": operator.key.pubkey(), "node": operator.node, "checkpoint": b"x" * 32}
    world.wait(5)
    world.send("nodes", "checkpoint", operator.key, sequence=7, **values)
    assert world.record("nodes", "Node", operator.node)["seen_at"] == world.time
    for sequence in (7, 6, 0):
        with refuses(world, "OldCheckpoint", "nodes"):
            world.send("nodes", "checkpoint", operator.key, sequence=sequence, **values)


def test_a_key_is_registered_once_and_only_with_both_signatures(network):
    world = network.world
    operator = network.operator()
    thief = world.person()
    with refuses(world, "AlreadyExists", "nodes"):
        world.send(
            "nodes", "register", thief, operator.key, owner=thief.pubkey(), key=operator.key.pubkey(),
            capability=bytes(32),
        )  # fmt: skip


@pytest.mark.parametrize(("count", "threshold"), [(0, 1), (3, 1), (3, 4), (2, 1), (17, 9)])
def test_verifiers_are_a_majority_of_some(network, count, threshold):
    world = network.world
    metas = [AccountMeta(world.key(), False, False) for _ in range(count)]
    values = {"authority": network.authority.pubkey(), "threshold": threshold}
    with refuses(world, "BadVerifiers", "nodes"):
        world.send("nodes", "set_verifiers", network.authority, rest=metas, **values)


def test_a_verifier_named_twice_is_refused(network):
    world = network.world
    one = AccountMeta(world.key(), False, False)
    with refuses(world, "BadVerifiers", "nodes"):
        world.send(
            "nodes",
            "set_verifiers",
            network.authority,
            rest=[one, one],
            authority=network.authority.pubkey(),
            threshold=2,
        )
