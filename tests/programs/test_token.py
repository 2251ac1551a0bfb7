from __future__ import annotations

from typing import Any

import pytest
from solders.account import Account
from solders.token import ID as TOKEN
from solders.token.state import Mint

from .world import DAY, HYPER, START, SUPPLY, World, refuses

LOCKED = 84_603_487 * HYPER
FIRST = 6_768_279 * HYPER
CYCLE = 30 * DAY


def set_up(world: World, **changed):
    world.named["stakers"] = world.tokens(world.key())
    world.named["operations"] = world.tokens(world.key())
    source = world.tokens(world.deployer.pubkey(), LOCKED)
    values: dict[str, Any] = {"deployer": world.deployer.pubkey(), "source": source}
    values |= {"authority": world.key(), "start": START + DAY}
    sent = world.send("token", "initialize", world.deployer, **values | changed)
    for label, seed in (("vesting", "vesting"), ("ledger", "burns"), ("vault", "vault"), ("collection", "collection")):
        world.named[label] = world.address("token", seed)
    return sent


@pytest.fixture
def world() -> World:
    return World("token")


def unlock(world: World, cycle: int):
    payer = world.payer
    return world.send("token", "unlock", payer, payer=payer.pubkey(), cycle=cycle)


def test_every_cycle_is_unlocked_once_and_its_parts_sum_to_it(world):
    set_up(world)
    with refuses(world, "NotDue"):
        unlock(world, 0)
    world.wait(DAY)
    burned = 0
    for cycle in range(12):
        amount = FIRST if cycle == 0 else (LOCKED - FIRST) // 11
        before = [world.balance(world.named[each]) for each in ("stakers", "operations", "vault")]
        sent = unlock(world, cycle)
        after = [world.balance(world.named[each]) for each in ("stakers", "operations", "vault")]
        burned += amount * 2000 // 10_000
        assert after[0] - before[0] == amount * 3000 // 10_000
        assert after[1] - before[1] == amount - amount * 2000 // 10_000 - amount * 3000 // 10_000
        assert before[2] - after[2] == amount
        assert world.supply() == SUPPLY - burned
        name, event = sent.events[0]
        assert name == "Burned"
        assert event["cumulative"] == burned
        with refuses(world, "AlreadyExists"):
            unlock(world, cycle)
        with refuses(world, "NotDue" if cycle < 11 else "NothingLeft"):
            unlock(world, cycle + 1)
        world.wait(CYCLE)
    assert world.balance(world.named["vault"]) == 0
    record = world.record("token", "Burn", world.address("token", "unlock", 11))
    assert (record["cycle"], record["cumulative"]) == (11, burned)


def test_missed_cycles_are_unlocked_one_by_one(world):
    set_up(world)
    world.wait(DAY + 5 * CYCLE)
    for cycle in range(6):
        unlock(world, cycle)
    with refuses(world, "NotDue"):
        unlock(world, 6)


def test_a_burn_is_recorded_with_its_reference(world):
    set_up(world)
    holder = world.person()
    source = world.tokens(holder.pubkey(), 10 * HYPER)
    world.send(
        "token", "burn_tokens", holder, id=0, holder=holder.pubkey(), source=source, amount=3, reference=b"r" * 32
    )
    assert world.supply() == SUPPLY - 3
    world.pay(source, holder, world.named["collection"], 4)
    world.send("token", "burn_collection", world.payer, payer=world.payer.pubkey(), id=0)
    assert world.supply() == SUPPLY - 7
    assert world.record("token", "BurnLedger", world.named["ledger"]) | {"count": 2, "cumulative": 7} == world.record(
        "token", "BurnLedger", world.named["ledger"]
    )
    with refuses(world, "NothingToBurn"):
        world.send("token", "burn_collection", world.payer, payer=world.payer.pubkey(), id=1)
    with refuses(world, "WrongHolder"):
        world.send(
            "token",
            "burn_tokens",
            world.payer,
            id=0,
            holder=world.payer.pubkey(),
            source=source,
            amount=1,
            reference=b"r" * 32,
        )


def test_only_the_upgrade_authority_can_set_it_up(world):
    stranger = world.person()
    source, other = world.tokens(stranger.pubkey(), LOCKED), world.tokens(stranger.pubkey())
    with refuses(world, "NotUpgradeAuthority"):
        world.send(
            "token", "initialize", stranger, deployer=stranger.pubkey(), source=source, stakers=other,
            operations=world.tokens(stranger.pubkey()), authority=stranger.pubkey(), start=0,
        )  # fmt: skip


def test_lamports_sent_before_do_not_stop_an_account_from_being_made(world):
    for seed in ("vesting", "burns", "vault", "collection"):
        world.svm.airdrop(world.address("token", seed), 1_000_000 if seed != "vault" else 10**9)
    set_up(world)


@pytest.mark.parametrize(
    "wrong",
    [{"decimals": 9}, {"supply": SUPPLY // 1_000}, {"supply": SUPPLY + 1}, {"mint_authority": True},
     {"freeze_authority": True}],
)  # fmt: skip
def test_a_mint_of_other_units_or_that_somebody_can_change_is_refused(world, wrong):
    """Prices off by a factor of 1,000 begin with a mint of 9 decimals."""
    right = {"mint_authority": None, "supply": SUPPLY, "decimals": 6, "freeze_authority": None}
    made = right | {name: world.key() if value is True else value for name, value in wrong.items()}
    mint = Mint(made["mint_authority"], made["supply"], made["decimals"], True, made["freeze_authority"])
    world.named["stakers"] = world.tokens(world.key())
    world.named["operations"] = world.tokens(world.key())
    source = world.tokens(world.deployer.pubkey(), LOCKED)
    world.svm.set_account(world.mint, Account(10**9, bytes(mint), TOKEN))
    with refuses(world, "NotThatMint"):
        world.send(
            "token", "initialize", world.deployer, deployer=world.deployer.pubkey(), source=source,
            authority=world.key(), start=START,
        )  # fmt: skip
