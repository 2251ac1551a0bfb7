"""Both images of every program, under the features mainnet has now and under those to come."""

from __future__ import annotations

import hashlib
import struct

import pytest
from solders import sysvar
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.litesvm import LiteSVM
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM
from solders.system_program import CreateAccountParams, create_account

from hypernode.chain.programs.bundle import IDLS, IMAGES

from .journey import travel
from .world import LOADER, Refused, World, refuses, runtime

CHUNK = 900
"""Bytes of a program written in one transaction."""


def test_the_old_image_does_all_the_new_one_does():
    travel(suffix=".v0.so")


def test_everything_works_once_old_images_are_forbidden():
    travel(svm=runtime(forbid_old=True))


def test_everything_works_with_all_that_the_runtime_can_do():
    travel(svm=runtime(everything=True))


def deploy(world: World, image: bytes) -> Pubkey:
    """Through the upgradeable loader: a buffer, its bytes, a program made of it."""
    authority, buffer, program = world.payer, Keypair(), Keypair()
    data, _ = Pubkey.find_program_address([bytes(program.pubkey())], LOADER)

    def new(account: Keypair, space: int) -> Instruction:
        lamports = world.svm.minimum_balance_for_rent_exemption(space)
        return create_account(
            CreateAccountParams(
                from_pubkey=authority.pubkey(), to_pubkey=account.pubkey(), lamports=lamports, space=space, owner=LOADER
            )
        )

    held = [AccountMeta(buffer.pubkey(), False, True), AccountMeta(authority.pubkey(), True, False)]
    opened = Instruction(LOADER, struct.pack("<I", 0), held)
    world.submit([new(buffer, 37 + len(image)), opened], [buffer])
    for at in range(0, len(image), CHUNK):
        chunk = image[at : at + CHUNK]
        world.submit([Instruction(LOADER, struct.pack("<IIQ", 1, at, len(chunk)) + chunk, held)], [])
    writable = (authority.pubkey(), data, program.pubkey(), buffer.pubkey())
    metas = [AccountMeta(each, each == authority.pubkey(), True) for each in writable]
    metas += [AccountMeta(each, False, False) for each in (sysvar.RENT, sysvar.CLOCK, SYSTEM)]
    metas.append(AccountMeta(authority.pubkey(), True, False))
    made = Instruction(LOADER, struct.pack("<IQ", 2, len(image)), metas)
    world.submit([new(program, 36), made], [program])
    world.slot += 2
    world.set_clock()
    return program.pubkey()


@pytest.mark.parametrize("name", sorted(path.stem for path in IDLS.glob("*.json")))
@pytest.mark.parametrize(("suffix", "forbid_old"), [(".so", False), (".so", True), (".v0.so", False)])
def test_the_loader_deploys_it(name, suffix, forbid_old):
    world = World(svm=runtime(forbid_old=forbid_old))
    program = deploy(world, (IMAGES / f"{name}{suffix}").read_bytes())
    with pytest.raises(Refused) as refused:
        world.submit([Instruction(program, bytes(8), [])], [])
    assert refused.value.code == 6000


def test_who_deployed_a_program_through_the_loader_sets_it_up_and_nobody_else():
    world = World()
    world.ids["rewards"] = deploy(world, (IMAGES / "rewards.so").read_bytes())
    values = {"staking": world.key(), "staking_pool": world.key()}
    stranger = world.person()
    with refuses(world, "NotUpgradeAuthority", "rewards"):
        world.send("rewards", "initialize", stranger, deployer=stranger.pubkey(), **values)
    world.send("rewards", "initialize", world.payer, deployer=world.payer.pubkey(), **values)
    assert world.record("rewards", "Pool", world.address("rewards", "pool"))["mint"] == world.mint


def test_the_loader_refuses_an_old_image_once_they_are_forbidden():
    world = World(svm=runtime(forbid_old=True))
    with pytest.raises(Refused):
        deploy(world, (IMAGES / "rewards.v0.so").read_bytes())


def test_the_hashes_are_those_of_the_images():
    listed = (IMAGES / "SHA256SUMS").read_text().splitlines()
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in IMAGES.glob("*.so")}
    assert {name: digest for digest, name in (line.split("  ") for line in listed)} == files
    assert len(files) == 16


def test_features_are_those_of_mainnet():
    features = LiteSVM.mainnet_feature_set()
    assert features.is_active(Pubkey.from_string("5cC3foj77CWun58pC51ebHFUWavHWKarWyR5UUik7dnC"))
