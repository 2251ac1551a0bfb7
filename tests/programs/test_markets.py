"""A job on chain: every way it can go, and every way somebody might want it to go instead."""

from __future__ import annotations

import pytest
from solders.pubkey import Pubkey

from hypernode.governance.unlocks import LOCKED

from .network import SPLIT, TERMS, Job, Network, Operator, signature
from .world import DAY, HYPER, refuses

PRICE = TERMS["rate"] * 600 + TERMS["fixed"]
DEPOSIT = TERMS["rate"] * 3_600 + TERMS["fixed"]


@pytest.fixture
def network() -> Network:
    network = Network()
    network.market()

    def solvent(world) -> None:
        if world.exists(world.named["market"]):
            vault, owed = network.owed()
            assert vault == owed

    network.world.watchers.append(solvent)
    return network


def assigned(network: Network) -> tuple[Job, Operator]:
    operator = network.operator()
    job = network.open()
    network.take(job, operator)
    return job, operator


def submitted(network: Network) -> tuple[Job, Operator]:
    job, operator = assigned(network)
    network.world.wait(600)
    network.submit(job, operator, 600)
    return job, operator


def test_a_job_is_paid_by_the_split_and_the_rest_comes_back(network):
    world = network.world
    author = world.key()
    author_token = world.tokens(author)
    operator = network.operator()
    job = network.open(author=author)
    assert world.balance(job.tokens) == 100 * HYPER - DEPOSIT
    network.take(job, operator)
    world.wait(600)
    network.submit(job, operator, 600)
    rent = world.svm.get_balance(job.address)
    before = world.svm.get_balance(job.client.pubkey())
    network.settle(job, operator, author_token=author_token)
    parts = {name: PRICE * bps // 10_000 for name, bps in SPLIT.items()}
    assert world.balance(author_token) == parts["royalty"]
    assert world.balance(operator.tokens) == PRICE - sum(parts.values())
    assert world.balance(job.tokens) == 100 * HYPER - PRICE
    assert world.svm.get_balance(job.client.pubkey()) == before + rent
    assert not world.exists(job.address)
    world.send("markets", "sweep")
    for name in ("treasury", "incentive", "stakers"):
        assert world.balance(world.named[name]) == parts[name]
    with refuses(world, "NothingToSweep", "markets"):
        world.send("markets", "sweep")


def test_without_an_author_the_royalty_is_the_operators(network):
    job, operator = submitted(network)
    network.settle(job, operator)
    others = sum(PRICE * SPLIT[each] // 10_000 for each in ("treasury", "incentive", "stakers"))
    assert network.world.balance(operator.tokens) == PRICE - others


def test_anyone_settles_once_the_time_to_dispute_is_over(network):
    world = network.world
    job, operator = submitted(network)
    with refuses(world, "TooEarly", "markets"):
        network.settle(job, operator, caller=operator.owner)
    world.wait(TERMS["dispute_seconds"] + 1)
    network.settle(job, operator, caller=operator.owner)
    assert world.balance(job.tokens) == 100 * HYPER - PRICE


def test_a_settled_job_cannot_be_settled_again(network):
    world = network.world
    job, operator = submitted(network)
    network.settle(job, operator)
    with refuses(world, "WrongOwner", "markets"):
        network.settle(job, operator)
    # Lamports sent to its address make no record of it.
    world.svm.airdrop(job.address, 10**9)
    with refuses(world, "WrongOwner", "markets"):
        network.settle(job, operator)


def test_a_queued_job_goes_back_to_its_client_at_once_and_by_anyone_in_time(network):
    world = network.world
    job = network.open()
    with refuses(world, "TooEarly", "markets"):
        network.cancel(job, world.person())
    network.cancel(job)
    assert world.balance(job.tokens) == 100 * HYPER
    late = network.open()
    world.wait(TERMS["queue_seconds"])
    with refuses(world, "TooLate", "markets"):
        network.take(late, network.operator())
    network.cancel(late, world.person())
    assert world.balance(late.tokens) == 100 * HYPER


def test_an_assigned_job_that_nobody_finishes_is_refunded_by_anyone(network):
    world = network.world
    job, operator = assigned(network)
    with refuses(world, "WrongState", "markets"):
        network.cancel(job)
    world.wait(3_600 + TERMS["grace_seconds"])
    with refuses(world, "TooEarly", "markets"):
        network.refund(job, operator)
    world.wait(1)
    with refuses(world, "TooLate", "markets"):
        network.submit(job, operator, 10)
    network.refund(job, operator)
    assert world.balance(job.tokens) == 100 * HYPER
    assert world.record("markets", "Capacity", operator.capacity)["running"] == 0


def test_a_job_given_back_is_queued_again_for_the_rest_of_its_time(network):
    world = network.world
    job, operator = assigned(network)
    with refuses(world, "TooEarly", "markets"):
        network.refund(job, operator)
    place = world.record("markets", "Job", job.address)["place"]
    network.give_back(job, operator)
    record = world.record("markets", "Job", job.address)
    assert (record["state"], record["place"]) == ("Queued", place + 1)
    assert {record[each] for each in ("node", "operator", "stake", "author")} == {Pubkey.default()}
    assert world.record("markets", "Capacity", operator.capacity)["running"] == 0
    other = network.operator()
    network.take(job, other)
    world.wait(600)
    network.submit(job, other, 600)
    network.settle(job, other)
    assert world.balance(job.tokens) == 100 * HYPER - PRICE
    late, operator = assigned(network)
    world.wait(TERMS["queue_seconds"])
    network.give_back(late, operator)
    with refuses(world, "TooLate", "markets"):
        network.take(late, operator)
    network.cancel(late, world.person())
    assert world.balance(late.tokens) == 100 * HYPER


def test_a_job_partly_paid_is_not_given_back(network):
    job, operator = assigned(network)
    network.redeem(job, operator, 1)
    with refuses(network.world, "PartlyPaid", "markets"):
        network.give_back(job, operator)


@pytest.mark.parametrize("for_node", [True, False])
def test_verifiers_decide_a_dispute(network, for_node):
    world = network.world
    job, operator = submitted(network)
    network.dispute(job)
    bond = PRICE * 500 // 10_000
    assert world.balance(job.tokens) == 100 * HYPER - DEPOSIT - bond
    with refuses(world, "TooEarly", "markets"):
        network.settle(job, operator)
    with refuses(world, "NotEnoughVerifiers", "markets"):
        network.resolve(job, operator, for_node=for_node, verifiers=1)
    network.resolve(job, operator, for_node=for_node)
    assert world.balance(job.tokens) == 100 * HYPER - (PRICE + bond if for_node else 0)
    others = sum(PRICE * SPLIT[each] // 10_000 for each in ("treasury", "incentive", "stakers"))
    assert world.balance(operator.tokens) == (PRICE - others + bond if for_node else 0)


def test_one_verifier_given_twice_counts_once(network):
    job, operator = submitted(network)
    network.dispute(job)
    with refuses(network.world, "NotEnoughVerifiers", "markets"):
        network.world.send(
            "markets", "resolve", network.verifiers[0], rest=network.verifier_metas(1) * 2, for_node=True,
            **network.endings(job, operator),
        )  # fmt: skip


def test_a_dispute_that_nobody_resolves_pays_the_node_and_returns_the_bond(network):
    world = network.world
    job, operator = submitted(network)
    network.dispute(job)
    world.wait(7 * DAY + 1)
    network.settle(job, operator, caller=world.person())
    assert world.balance(job.tokens) == 100 * HYPER - PRICE


def test_a_dispute_too_late_or_by_another_is_refused(network):
    world = network.world
    job, operator = submitted(network)
    with refuses(world, "WrongAddress", "markets"):
        network.dispute(Job(operator.owner, operator.tokens, job.address, job.id, 0, job.author, job.page))
    world.wait(TERMS["dispute_seconds"] + 1)
    with refuses(world, "TooLate", "markets"):
        network.dispute(job)


def test_only_the_jobs_node_submits_and_no_more_seconds_than_passed(network):
    world = network.world
    job, operator = assigned(network)
    other = network.operator()
    world.wait(600)
    with refuses(world, "WrongAddress", "markets"):
        network.submit(job, other, 600)
    with refuses(world, "TooManySeconds", "markets"):
        network.submit(job, operator, 601)
    world.wait(3_600)
    with refuses(world, "TooManySeconds", "markets"):
        network.submit(job, operator, 3_601)
    network.submit(job, operator, 3_600)
    with refuses(world, "WrongState", "markets"):
        network.submit(job, operator, 3_600)


# --- who may take a job ---------------------------------------------------------------------------------------------
def test_a_node_needs_room_on_its_owners_stake(network):
    operator = network.operator(1_000 * HYPER)
    jobs = [network.open() for _ in range(4)]
    for job in jobs[:3]:
        network.take(job, operator)
    with refuses(network.world, "NoRoom", "markets"):
        network.take(jobs[3], operator)
    network.give_back(jobs[0], operator)
    network.take(jobs[3], operator)


def test_a_node_without_its_own_stake_is_refused(network):
    operator, rich = network.operator(), network.operator(10_000 * HYPER)
    job = network.open()
    stolen = Operator(operator.owner, operator.key, operator.tokens, rich.stake, operator.node, rich.capacity)
    with refuses(network.world, "NotOwnersStake", "markets"):
        network.take(job, stolen)
    mixed = Operator(operator.owner, operator.key, operator.tokens, operator.stake, operator.node, rich.capacity)
    with refuses(network.world, "WrongAddress", "markets"):
        network.take(job, mixed)


def test_a_node_that_is_silent_retired_bad_or_light_is_refused(network):
    world = network.world
    operator = network.operator()
    job = network.open()
    world.wait(TERMS["fresh_seconds"] + 1)
    with refuses(world, "NodeSilent", "markets"):
        network.take(job, operator)
    network.checkpoint(operator)
    world.send("nodes", "retire", operator.owner, owner=operator.owner.pubkey(), node=operator.node)
    with refuses(world, "NodeRetired", "markets"):
        network.take(job, operator)
    world.send("nodes", "resume", operator.owner, owner=operator.owner.pubkey(), node=operator.node)
    rate = {"rest": network.verifier_metas(), "node": operator.node, "cause": 1}
    world.send("nodes", "record_reputation", *network.verifiers[:2], score=399, **rate)
    with refuses(world, "ScoreTooLow", "markets"):
        network.take(job, operator)
    world.send("nodes", "record_reputation", *network.verifiers[:2], score=400, **rate)
    world.send("staking", "unstake", operator.owner, owner=operator.owner.pubkey(), stake=operator.stake)
    with refuses(world, "StakeNotActive", "markets"):
        network.take(job, operator)
    light = network.operator(20 * HYPER)
    with refuses(world, "WeightTooLow", "markets"):
        network.take(job, light)


# --- the queue ------------------------------------------------------------------------------------------------------
def test_the_queue_goes_on_over_many_pages(network):
    world = network.world
    operator = network.operator(100_000 * HYPER)
    client = world.person()
    tokens = world.tokens(client.pubkey(), 1_000 * HYPER)
    jobs = [network.open(client, tokens, id=id, seconds=1) for id in range(150)]
    world.wait(0, 1)
    payer = {"payer": world.payer.pubkey()}
    assert len({job.page for job in jobs}) == 3
    for job in jobs[64:128]:
        network.cancel(job)
    world.send("markets", "retire_page", page=jobs[64].page, **payer)
    assert not world.exists(jobs[64].page)
    with refuses(world, "WrongPage", "markets"):
        world.send("markets", "open_page", world.payer, index=1, **payer)
    for job in reversed(jobs[:63]):
        network.take(job, operator)
    with refuses(world, "PageInUse", "markets"):
        world.send("markets", "retire_page", page=jobs[0].page, **payer)
    network.take(jobs[63], operator)
    world.send("markets", "retire_page", page=jobs[0].page, **payer)
    for job in jobs[128:]:
        network.take(job, operator)
    with refuses(world, "PageInUse", "markets"):
        world.send("markets", "retire_page", page=jobs[128].page, **payer)
    with refuses(world, "WrongState", "markets"):
        network.take(jobs[128], operator)


def test_a_page_of_another_market_is_refused(network):
    world = network.world
    other = network.world.named["market"]
    network.market(id=1)
    network.use(other)
    client = world.person()
    page = world.address("markets", "page", world.address("markets", "market", world.payer.pubkey(), 1), 0)
    with refuses(world, "WrongPage", "markets"):
        world.send(
            "markets", "open", client, client=client.pubkey(), source=world.tokens(client.pubkey(), HYPER * 100),
            page=page, id=1, seconds=60, document=bytes(32), author=client.pubkey(), terms=network.terms(),
        )  # fmt: skip


# --- vouchers -------------------------------------------------------------------------------------------------------
def test_vouchers_pay_a_running_job_and_count_towards_its_price(network):
    world = network.world
    job, operator = assigned(network)
    network.redeem(job, operator, 1_000_000)
    network.redeem(job, operator, 1_500_000)
    with refuses(world, "VoucherTooLow", "markets"):
        network.redeem(job, operator, 1_500_000)
    with refuses(world, "VoucherTooHigh", "markets"):
        network.redeem(job, operator, DEPOSIT + 1)
    world.wait(600)
    network.submit(job, operator, 600)
    network.settle(job, operator)
    assert world.balance(job.tokens) == 100 * HYPER - 1_500_000


def test_what_vouchers_paid_stays_paid_when_the_job_is_refunded(network):
    job, operator = assigned(network)
    network.redeem(job, operator, 1_000_000)
    network.world.wait(3_601 + TERMS["grace_seconds"])
    network.refund(job, operator)
    assert network.world.balance(job.tokens) == 100 * HYPER - 1_000_000


def test_a_voucher_pays_only_what_its_client_signed(network):
    world = network.world
    job, operator = assigned(network)
    message = network.voucher(job, 1_000_000)
    forged = [
        signature(operator.owner, message),
        signature(job.client, network.voucher(job, 999_999)),
        signature(job.client, message + b"\0"),
        signature(job.client, message[:-1]),
        signature(job.client, b"x" + message[1:]),
    ]
    for proof in forged:
        with refuses(world, "NoSignature", "markets"):
            network.redeem(job, operator, 1_000_000, proof)
    with refuses(world, "NoSignature", "markets"):
        world.send("markets", "redeem", cumulative=1_000_000, **network.payees(job, operator))
    # A proof that is not just before, or that points into another instruction, is none.
    proof = signature(job.client, message)
    other = signature(operator.owner, b"something else")
    with refuses(world, "NoSignature", "markets"):
        world.send("markets", "redeem", before=[proof, other], cumulative=1_000_000, **network.payees(job, operator))
    for part in ("signature_index", "key_index", "message_index"):
        with refuses(world, "NoSignature", "markets"):
            network.redeem(job, operator, 1_000_000, signature(job.client, message, **{part: 0}))


def test_a_voucher_of_a_closed_job_is_worth_nothing_in_the_next_with_its_id(network):
    world = network.world
    job, operator = assigned(network)
    proof = signature(job.client, network.voucher(job, 1_000_000))
    world.wait(3_601 + TERMS["grace_seconds"])
    network.refund(job, operator)
    network.checkpoint(operator)
    again = network.open(job.client, job.tokens, id=job.id)
    assert again.address == job.address
    network.take(again, operator)
    with refuses(world, "NoSignature", "markets"):
        network.redeem(again, operator, 1_000_000, proof)


# --- bounds ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "terms",
    [{"rate": 0, "fixed": 0}, {"rate": 10**12 + 1}, {"longest_seconds": 0}, {"longest_seconds": 30 * DAY + 1},
     {"queue_seconds": 59}, {"grace_seconds": DAY + 1}, {"dispute_seconds": 599}, {"dispute_seconds": 14 * DAY + 1},
     {"fresh_seconds": 29}, {"least_score": 1_001}, {"padding": b"\1\0"}],
)  # fmt: skip
def test_terms_have_bounds(network, terms):
    with refuses(network.world, "BadTerms", "markets"):
        network.market(id=7, **terms)


def test_the_operators_part_is_never_below_four_fifths(network):
    world = network.world
    authority = network.authority
    values = {"authority": authority.pubkey()}
    world.send("markets", "set_parameters", authority, split=SPLIT | {"treasury": 1_000}, **values)
    with refuses(world, "BadSplit", "markets"):
        world.send("markets", "set_parameters", authority, split=SPLIT | {"treasury": 1_001}, **values)
    with refuses(world, "WrongAddress", "markets"):
        stranger = world.person()
        world.send("markets", "set_parameters", stranger, split=SPLIT, authority=stranger.pubkey())


def test_a_job_keeps_the_terms_and_split_it_was_opened_with(network):
    world = network.world
    job, operator = submitted(network)
    world.send("markets", "set_market", world.payer, authority=world.payer.pubkey(), terms=TERMS | {"rate": 10**9})
    lower = dict.fromkeys(SPLIT, 0)
    world.send("markets", "set_parameters", network.authority, authority=network.authority.pubkey(), split=lower)
    network.settle(job, operator)
    assert world.balance(job.tokens) == 100 * HYPER - PRICE
    others = sum(PRICE * SPLIT[each] // 10_000 for each in ("treasury", "incentive", "stakers"))
    assert world.balance(operator.tokens) == PRICE - others


def test_the_vesting_vault_is_no_market(network):
    assert network.world.balance(network.world.named["token.vault"]) == LOCKED
