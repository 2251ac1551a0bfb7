"""Who computes, and what verifiers say of them

Made by `make programs` from `programs/nodes/program.toml`; change that.
"""

# fmt: off
from __future__ import annotations

from typing import ClassVar, Literal

import msgspec

from hypernode.chain.programs.bundle import Name
from hypernode.chain.programs.calls import Call, Key, Record

NodeState = Literal["Active", "Retired"]
Tier = Literal["Starter", "Bronze", "Silver", "Gold", "Diamond"]


class Config(Record, frozen=True, kw_only=True):
    """Who may verify."""

    of: ClassVar[Name] = "nodes"

    authority: str
    verifiers: list[str]
    count: int
    threshold: int
    padding: bytes = bytes(6)


class Node(Record, frozen=True, kw_only=True):
    """One node. It is never closed, so that a bad name cannot be shed by registering again."""

    of: ClassVar[Name] = "nodes"

    key: str
    owner: str
    capability: bytes
    checkpoint: bytes
    registered_slot: int
    registered_at: int
    sequence: int
    seen_at: int
    rated_at: int
    cause: int
    score: int
    tier: Tier
    state: NodeState
    bump: int
    padding: bytes = bytes(1)


class Registered(msgspec.Struct, frozen=True, kw_only=True):
    key: str
    owner: str
    capability: bytes


class Rated(msgspec.Struct, frozen=True, kw_only=True):
    key: str
    score: int
    cause: int
    tier: Tier


def initialize(*, authority: Key, threshold: int) -> Call:
    """Sets the program up with its first verifiers.
    Further accounts: the verifiers
    """
    return Call("nodes", "initialize", {"authority": authority, "threshold": threshold})


def set_verifiers(*, threshold: int) -> Call:
    """Replaces the verifiers.
    Further accounts: the new verifiers
    """
    return Call("nodes", "set_verifiers", {"threshold": threshold})


def register(*, capability: bytes) -> Call:
    """Registers a node: its owner and its own key both sign."""
    return Call("nodes", "register", {"capability": capability})


def describe(*, capability: bytes) -> Call:
    """Changes what the node says it can do."""
    return Call("nodes", "describe", {"capability": capability})


def checkpoint(*, sequence: int, checkpoint: bytes) -> Call:
    """A sign of life by the node itself."""
    return Call("nodes", "checkpoint", {"sequence": sequence, "checkpoint": checkpoint})


def record_reputation(*, score: int, cause: int) -> Call:
    """Writes a node's score and its cause; enough verifiers sign.
    Further accounts: the verifiers that sign
    """
    return Call("nodes", "record_reputation", {"score": score, "cause": cause})


def retire() -> Call:
    """The node takes no more jobs."""
    return Call("nodes", "retire", {})


def resume() -> Call:
    """The node takes jobs again."""
    return Call("nodes", "resume", {})
