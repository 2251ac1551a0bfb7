"""Every instruction of every IDL, attacked through its accounts and its data."""

from __future__ import annotations

import pytest

from .coder import idl
from .hostile import Hostile
from .journey import rule, travel
from .network import ALL

ALL_INSTRUCTIONS = {(program, name) for program in ALL for name in idl(program).instructions}


@pytest.fixture(scope="module")
def hostile() -> Hostile:
    attack = Hostile()
    travel(attack)
    rule(attack)
    return attack


def test_every_instruction_was_attacked(hostile):
    # Governance's own parameters are set only by its call of itself, which `execute` makes.
    assert set(hostile.seen) == ALL_INSTRUCTIONS - {("governance", "set_parameters")}
    assert hostile.tried > 50 * len(ALL_INSTRUCTIONS)


def test_nothing_crashes(hostile):
    assert not hostile.crashed


FREE = {
    # Anyone may pay for what it makes.
    "payer": {("markets", "open_page"), ("markets", "open_capacity"), ("rewards", "register"), ("staking", "open"),
              ("token", "unlock")},
    # Whoever signs beside a node's key becomes its owner.
    "owner": {("nodes", "register")},
    # Who sets a program up, or rules it, says where tokens go; their mint is checked.
    "treasury": {("markets", "initialize"), ("markets", "set_parameters"), ("slashing", "initialize"),
                 ("slashing", "set_parameters")},
    "incentive": {("markets", "initialize"), ("markets", "set_parameters")},
    "stakers": {("markets", "initialize"), ("markets", "set_parameters"), ("token", "initialize"),
                ("token", "set_destinations")},
    "operations": {("token", "initialize"), ("token", "set_destinations")},
    "collection": {("slashing", "initialize"), ("slashing", "set_parameters")},
    "slashed": {("staking", "initialize")},
}  # fmt: skip
"""By account: where another one may stand."""

ARGUMENTS_PROVED_ELSEWHERE = {
    ("markets", "redeem"),  # the client's signature
    ("slashing", "reveal"),  # the commitment
    ("token", "unlock"),  # the cycle that is due
    ("markets", "open_page"),  # the queue's tail, and the page's seeds
    ("staking", "open"),  # the stake's seeds
}
"""Instructions for which no other arguments are right."""


def test_only_what_is_meant_to_be_free_is_accepted(hostile):
    for program, name, account, what in hostile.accepted:
        if what != "is made up":
            assert (program, name) in FREE.get(account, set()), (program, name, account, what)
            assert what not in ("is of another mint", "does not sign", "is not writable", "is left out")
            assert not what.startswith("is a copy")


def test_made_up_arguments_are_accepted_only_where_they_are_a_choice(hostile):
    accepted = {(program, name) for program, name, _, what in hostile.accepted if what == "is made up"}
    assert not accepted & ARGUMENTS_PROVED_ELSEWHERE
    without = {(program, name) for program, name in ALL_INSTRUCTIONS if not idl(program).instructions[name]["args"]}
    assert not accepted & without
