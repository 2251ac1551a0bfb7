"""Stakes and what they earn."""

from __future__ import annotations

import pytest
from solders.account import Account

from .coder import idl
from .network import Network
from .world import DAY, HYPER, refuses


@pytest.fixture
def network() -> Network:
    return Network()


def staker(network: Network, amount: int = 1_000 * HYPER, days: int = 30):
    owner = network.world.person()
    tokens = network.world.tokens(owner.pubkey(), amount)
    return owner, tokens, network.stake(owner, tokens, amount, days)


@pytest.mark.parametrize(("days", "factor"), [(14, 1115), (30, 1246), (90, 1739), (180, 2479), (365, 4000)])
def test_weight_grows_with_the_lock(network, days, factor):
    _, _, stake = staker(network, days=days)
    weight = network.world.record("staking", "Stake", stake)["weight"]
    assert weight == 1_000 * HYPER * (365 + 3 * days) // 365
    assert weight // HYPER == factor
    assert network.world.record("staking", "Pool", network.world.named["staking_pool"])["weight"] == weight


def test_a_stake_is_free_after_a_cooldown_as_long_as_its_lock(network):
    world = network.world
    owner, tokens, stake = staker(network)
    with refuses(world, "NotUnstaking", "staking"):
        network.withdraw(owner, stake, tokens)
    network.unstake(owner, stake)
    assert world.record("staking", "Stake", stake)["weight"] == 0
    world.wait(30 * DAY - 1)
    with refuses(world, "StillCooling", "staking"):
        network.withdraw(owner, stake, tokens)
    world.wait(1)
    network.withdraw(owner, stake, tokens)
    assert world.balance(tokens) == 1_000 * HYPER
    with refuses(world, "NotUnstaking", "staking"):
        network.withdraw(owner, stake, tokens)
    network.stake(owner, tokens, 500 * HYPER)
    with refuses(world, "NotWithdrawn", "staking"):
        network.stake(owner, tokens, 500 * HYPER)


@pytest.mark.parametrize(("days", "amount", "error"), [(13, HYPER, "LockOutOfBounds"), (366, HYPER, "LockOutOfBounds"),
                                                       (30, HYPER - 1, "TooLittle")])  # fmt: skip
def test_locks_and_amounts_have_bounds(network, days, amount, error):
    owner = network.world.person()
    tokens = network.world.tokens(owner.pubkey(), HYPER)
    with refuses(network.world, error, "staking"):
        network.stake(owner, tokens, amount, days)


def test_rewards_follow_weight_and_are_paid_once(network):
    world = network.world
    (one, one_tokens, first), (_, two_tokens, second) = staker(network, days=365), staker(network, days=365)
    network.reward(1_000 * HYPER)
    network.claim(first, one_tokens)
    assert world.balance(one_tokens) == 500 * HYPER
    with refuses(world, "NothingToClaim", "rewards"):
        network.claim(first, one_tokens)
    network.unstake(one, first)
    network.reward(1_000 * HYPER)
    network.claim(second, two_tokens)
    assert world.balance(two_tokens) == 1_500 * HYPER
    with refuses(world, "NothingToClaim", "rewards"):
        network.claim(first, one_tokens)
    assert world.balance(world.named["rewards_vault"]) == 0


def test_what_was_earned_can_be_claimed_after_withdrawal_and_again_after_staking_anew(network):
    world = network.world
    owner, tokens, stake = staker(network)
    network.reward(10 * HYPER)
    network.unstake(owner, stake)
    world.wait(30 * DAY)
    network.withdraw(owner, stake, tokens)
    network.claim(stake, tokens)
    paid = world.balance(tokens) - 1_000 * HYPER
    # A division that floors may leave the last µHYPER in the pool.
    assert 10 * HYPER - 1 <= paid <= 10 * HYPER
    network.stake(owner, tokens, 1_000 * HYPER)
    with refuses(world, "NothingToClaim", "rewards"):
        network.claim(stake, tokens)
    network.reward(10 * HYPER)
    network.claim(stake, tokens)
    assert 2 * paid - 2 <= world.balance(tokens) <= 20 * HYPER


def test_without_stakers_rewards_wait(network):
    world = network.world
    with refuses(world, "NobodyStakes", "rewards"):
        network.reward(7 * HYPER)
    _, tokens, stake = staker(network)
    world.send("rewards", "distribute")
    network.claim(stake, tokens)
    assert 7 * HYPER - 1 <= world.balance(tokens) <= 7 * HYPER


def test_nobody_loses_by_how_often_rewards_are_distributed(network):
    _, tokens, stake = staker(network, 1_000_000 * HYPER, 365)
    for _ in range(10):
        network.reward(3)  # less than moves the accumulator at this weight
    network.claim(stake, tokens)
    assert network.world.balance(tokens) >= 30 - 4


def test_nobody_stakes_into_rewards_that_came_in_before(network):
    world = network.world
    _, tokens, stake = staker(network)
    world.pay(world.reserve, world.bank, world.named["rewards_vault"], HYPER)
    with refuses(world, "Undistributed", "staking"):
        staker(network)
    world.send("rewards", "distribute")
    staker(network)
    network.claim(stake, tokens)
    assert HYPER - 1 <= world.balance(tokens) <= HYPER


def test_rewards_go_only_to_the_stakes_owner(network):
    world = network.world
    _, _, stake = staker(network)
    network.reward(HYPER)
    thief = world.tokens(world.person().pubkey())
    with refuses(world, "WrongHolder", "rewards"):
        network.claim(stake, thief)


def test_a_claim_of_another_stake_is_refused(network):
    world = network.world
    _, tokens, stake = staker(network)
    _, _, other = staker(network)
    network.reward(HYPER)
    network.claim(stake, tokens)
    world.send("rewards", "register", world.payer, payer=world.payer.pubkey(), stake=other)
    with refuses(world, "WrongAddress", "rewards"):
        world.send("rewards", "claim", stake=stake, claim=world.address("rewards", "claim", other), destination=tokens)


def test_parameters_stay_within_bounds(network):
    world = network.world
    good = {"least_amount": 1, "shortest_days": 14, "longest_days": 365, "padding": bytes(4)}
    send = lambda parameters: world.send(  # noqa: E731
        "staking", "set_parameters", network.authority, authority=network.authority.pubkey(), parameters=parameters
    )
    send(good)
    for change in ({"shortest_days": 13}, {"longest_days": 366}, {"shortest_days": 200, "longest_days": 199},
                   {"least_amount": 0}, {"least_amount": 10**12 + 1}, {"padding": b"\1\0\0\0"}):  # fmt: skip
        with refuses(world, "BadParameters", "staking"):
            send(good | change)


def test_a_slash_takes_part_of_the_stake_and_its_weight(network):
    world = network.world
    owner, tokens, stake = staker(network)
    slasher = network.slasher
    world.send("staking", "freeze", slasher, stake=stake)
    with refuses(world, "Frozen", "staking"):
        world.send("staking", "add", owner, owner=owner.pubkey(), stake=stake, source=tokens, amount=1)
    with refuses(world, "SlashTooHigh", "staking"):
        world.send("staking", "slash", slasher, stake=stake, bps=5_001)
    world.send("staking", "slash", slasher, stake=stake, bps=2_500)
    record = world.record("staking", "Stake", stake)
    assert (record["amount"], record["reports"]) == (750 * HYPER, 0)
    assert record["weight"] == 750 * HYPER * (365 + 90) // 365
    assert world.balance(world.named["slashed"]) == 250 * HYPER
    with refuses(world, "NotFrozen", "staking"):
        world.send("staking", "slash", slasher, stake=stake, bps=2_500)
    world.send("staking", "freeze", slasher, stake=stake)
    network.unstake(owner, stake)
    world.wait(30 * DAY)
    with refuses(world, "Frozen", "staking"):
        network.withdraw(owner, stake, tokens)
    world.send("staking", "release", slasher, stake=stake)
    network.withdraw(owner, stake, tokens)
    assert world.balance(tokens) == 750 * HYPER


def test_a_stake_that_leaves_can_be_reported_until_its_cooldown_is_over_and_not_for_ever(network):
    world = network.world
    owner, tokens, stake = staker(network)
    report, end = (
        lambda: world.send("staking", "freeze", network.slasher, stake=stake),
        lambda: world.send("staking", "release", network.slasher, stake=stake),
    )
    report()
    network.unstake(owner, stake)
    world.wait(30 * DAY - 1)
    report()
    end()
    world.wait(1)
    with refuses(world, "Frozen", "staking"):
        network.withdraw(owner, stake, tokens)
    with refuses(world, "ReportedTooLate", "staking"):
        report()
    end()
    network.withdraw(owner, stake, tokens)
    assert world.balance(tokens) == 1_000 * HYPER


def test_sums_at_the_highest_number_stop_no_reward(network):
    """Who has nearly all weight can send the same tokens round, until sums over all time are full."""
    world = network.world
    _, tokens, stake = staker(network)
    network.reward(HYPER)
    pool = world.named["rewards_pool"]
    account = world.svm.get_account(pool)
    record = world.record("rewards", "Pool", pool)
    full = record | {"distributed": 2**64 - 1, "paid": 2**64 - 1}
    world.svm.set_account(pool, Account(account.lamports, idl("rewards").encode_record("Pool", full), account.owner))
    network.reward(HYPER)
    network.claim(stake, tokens)
    assert world.balance(tokens) >= 2 * HYPER - 1
    assert world.record("rewards", "Pool", pool)["paid"] == 2**64 - 1
