"""Compute units of every instruction, as `programs/compute.toml` says them, and within its budgets.

The runtime counts exactly, so the table is exact: what changes it, changes the file.
    python -m pytest tests/programs/test_compute.py prints the new table when it differs.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from .coder import idl
from .journey import rule, travel
from .network import ALL, Network
from .world import HYPER


@pytest.fixture(scope="module")
def measured() -> dict[str, dict[str, int]]:
    """The most units that each instruction took on a way through all of them."""
    most: dict[str, dict[str, int]] = {program: {} for program in ALL}
    networks = [travel(), *rule()]
    for network in networks:
        for (program, name), units in network.world.units.items():
            most[program][name] = max(most[program].get(name, 0), *units)
    return most


@pytest.fixture(scope="module")
def table() -> dict[str, dict[str, dict[str, int]]]:
    return tomllib.loads((Path(__file__).parents[2] / "programs" / "compute.toml").read_text())


def test_the_table_is_what_the_runtime_counts(measured, table):
    written = {program: {name: entry["units"] for name, entry in entries.items()} for program, entries in table.items()}
    lines = [
        line
        for program in ALL
        for line in (f"\n[{program}]", *(
            f"{name} = {{ units = {units}, budget = "
            f"{table.get(program, {}).get(name, {}).get('budget', -(-units * 11 // 10_000) * 1_000)} }}"
            for name, units in measured[program].items()
        ))
    ]  # fmt: skip
    assert written == measured, "programs/compute.toml would be:\n" + "\n".join(lines)


def test_every_instruction_is_within_its_budget(measured, table):
    for program in ALL:
        for name in idl(program).instructions:
            if (program, name) == ("governance", "set_parameters"):
                continue  # part of `execute`, which calls it
            assert measured[program][name] <= table[program][name]["budget"], (program, name)


def test_what_is_done_most_is_cheap(measured):
    assert measured["markets"]["open"] < 10_000
    assert measured["markets"]["settle"] < 5_000


def test_a_claim_costs_the_same_however_many_stake(measured):
    units = []
    for stakers in (1, 300):
        network = Network()
        world = network.world
        stake = tokens = None
        for _ in range(stakers):
            owner = world.person()
            tokens = world.tokens(owner.pubkey(), HYPER)
            stake = network.stake(owner, tokens, HYPER)
        network.reward(1_000 * HYPER)
        assert stake is not None
        assert tokens is not None
        network.claim(stake, tokens)
        units.append((world.units["rewards", "distribute"][-1], world.units["rewards", "claim"][-1]))
    (one, claimed), (many, claimed_of_many) = units
    # A division of larger numbers takes a few steps more; nothing depends on how many there are.
    assert abs(many - one) < 200
    assert abs(claimed_of_many - claimed) < 200
