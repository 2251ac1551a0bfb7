"""Attacks on the money and the queue of markets that a change of one account or one byte does not find."""

from __future__ import annotations

import struct

import pytest
from solders.account import Account
from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey
from solders.token import ID as TOKEN

from hypernode.chain.programs.bundle import IMAGES

from .network import SPLIT, TERMS, Job, Network, Operator, signature
from .world import HYPER, LOADER, refuses


@pytest.fixture
def network() -> Network:
    network = Network()
    network.market()
    return network


def submitted(network: Network) -> tuple[Job, Operator]:
    operator = network.operator()
    job = network.open()
    network.take(job, operator)
    network.world.wait(600)
    network.submit(job, operator, 600)
    return job, operator


def test_a_voucher_of_one_market_is_worth_nothing_in_another(network):
    """The same job address, serial and node: each market counts its own serials, and others can move its count."""
    world = network.world
    operator = network.operator()
    job = network.open()
    network.take(job, operator)
    proof = signature(job.client, network.voucher(job, 1_000_000))
    world.wait(3_601 + TERMS["grace_seconds"])
    network.refund(job, operator)
    network.market(id=1)
    network.checkpoint(operator)
    again = network.open(job.client, job.tokens, id=job.id)
    network.take(again, operator)
    assert again.address == job.address
    assert world.record("markets", "Job", again.address)["serial"] == 0
    with refuses(world, "NoSignature", "markets"):
        network.redeem(again, operator, 1_000_000, proof)


@pytest.mark.parametrize("change", [{"rate": 2_001}, {"fixed": 10**12}, {"dispute_seconds": 600}, {"least_score": 0}])
def test_terms_changed_under_a_clients_hand_deposit_nothing(network, change):
    """Whoever made the market sees the client's transaction and is first."""
    world = network.world
    client = world.person()
    agreed = network.terms()
    tokens = world.tokens(client.pubkey(), 100 * HYPER)
    opening = world.instruction(
        "markets", "open", client=client.pubkey(), source=tokens, page=network.page(), id=0, seconds=3_600,
        document=bytes(32), author=Pubkey.default(), terms=agreed,
    )  # fmt: skip
    maker = world.payer
    world.send("markets", "set_market", maker, authority=maker.pubkey(), terms=agreed | change)
    with refuses(world, "TermsChanged", "markets"):
        world.submit([opening], [client])
    assert world.balance(tokens) == 100 * HYPER


def test_the_queue_is_not_emptied_by_taking_and_giving_back(network):
    """One small stake, three jobs and a loop: every job is still there, and others may have it at once."""
    world = network.world
    vandal, honest = network.operator(100 * HYPER), network.operator()
    jobs = [network.open() for _ in range(3)]
    for job in jobs * 2:
        network.take(job, vandal)
        with refuses(world, "TooEarly", "markets"):
            network.refund(job, vandal)
        network.give_back(job, vandal)
    for job in jobs:
        network.take(job, honest)
        assert world.record("markets", "Job", job.address)["node"] == honest.key.pubkey()


def test_only_the_node_gives_a_job_back(network):
    operator, other = network.operator(), network.operator()
    job = network.open()
    network.take(job, operator)
    with refuses(network.world, "WrongAddress", "markets"):
        network.give_back(job, other)
    stolen = Operator(**(vars(operator) | {"capacity": other.capacity}))
    with refuses(network.world, "WrongAddress", "markets"):
        network.give_back(job, stolen)


@pytest.mark.parametrize("place", ["operator_token", "author_token", "client_token"])
def test_a_payment_goes_to_nobody_else(network, place):
    """Anyone may settle in time, and may not take a part of it."""
    world = network.world
    job, operator = submitted(network)
    world.wait(TERMS["dispute_seconds"] + 1)
    thief = world.person()
    values = network.endings(job, operator) | {place: world.tokens(thief.pubkey())}
    with refuses(world, "WrongHolder", "markets"):
        world.send("markets", "settle", thief, caller=thief.pubkey(), **values)
    with refuses(world, "WrongAddress", "markets"):
        world.send(
            "markets", "settle", thief, caller=thief.pubkey(),
            **(network.endings(job, operator) | {"client": thief.pubkey()}),
        )  # fmt: skip


@pytest.mark.parametrize("becomes", ["nothing", "a program"])
def test_what_becomes_of_a_clients_wallet_does_not_stop_the_payment(network, becomes):
    world = network.world
    job, operator = submitted(network)
    client = job.client.pubkey()
    if becomes == "nothing":
        world.svm.set_account(client, Account(0, b"", Pubkey.default()))
    else:
        image = (IMAGES / "nodes.so").read_bytes()
        data, _ = Pubkey.find_program_address([bytes(client)], LOADER)
        world.svm.set_account(data, Account(10**10, struct.pack("<IQB", 3, 0, 1) + bytes(32) + image, LOADER))
        world.svm.set_account(client, Account(10**9, struct.pack("<I", 2) + bytes(data), LOADER, executable=True))
    world.wait(TERMS["dispute_seconds"] + 1)
    network.settle(job, operator, caller=operator.owner)
    assert world.balance(operator.tokens) > 0


def test_a_client_that_closed_its_token_account_is_paid_into_another(network):
    """Anyone can make one for it, so that closing it stops nobody's pay."""
    world = network.world
    job, operator = submitted(network)
    world.pay(job.tokens, job.client, world.reserve, world.balance(job.tokens))
    owner = job.client.pubkey()
    metas = [AccountMeta(job.tokens, False, True), AccountMeta(owner, False, True), AccountMeta(owner, True, False)]
    world.submit([Instruction(TOKEN, b"\x09", metas)], [job.client])  # CloseAccount
    world.wait(TERMS["dispute_seconds"] + 1)
    with refuses(world, "WrongTokenAccount", "markets"):
        network.settle(job, operator, caller=operator.owner)
    job.tokens = world.tokens(owner)
    network.settle(job, operator, caller=operator.owner)
    assert world.balance(job.tokens) > 0


def test_a_destination_that_was_closed_stops_a_sweep_only_until_another_is_named(network):
    world = network.world
    job, operator = submitted(network)
    network.settle(job, operator)
    world.svm.set_account(world.named["treasury"], Account(0, b"", Pubkey.default()))
    with refuses(world, "WrongTokenAccount", "markets"):
        world.send("markets", "sweep")
    authority = network.authority
    world.named["treasury"] = world.tokens(world.key())
    world.send("markets", "set_parameters", authority, split=SPLIT, authority=authority.pubkey())
    world.send("markets", "sweep")
    assert world.balance(world.named["treasury"]) > 0
