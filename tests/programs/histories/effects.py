"""What proposals do once they are carried out, in each world."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from msgspec.structs import asdict
from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey
from solders.token import ID as TOKEN

from hypernode.governance.proposals import Kind
from programs.model import escrow, proposals, slashing, staking
from programs.network import PANELS, VOTING
from programs.world import HYPER, World

from .state import State, person


class Effect(Protocol):
    """What a proposal does; `kind` is the room's name of what the programs call `Name`, in camel case."""

    @property
    def kind(self) -> Kind: ...

    def apply(self, state: State) -> None:
        """Do it in the model. Raises Refusal."""

    def call(self, world: World, purses: Sequence[Pubkey]) -> Instruction | None:
        """What governance calls on chain to do it; `purses` are people's tokens."""

    def payload(self, people: Sequence[UUID]) -> dict[str, Any] | None:
        """What a proposal to the room carries; `people` are their projects."""


@dataclass(frozen=True)
class Text:
    """Nothing is done."""

    kind: Kind = Kind.TEXT

    def apply(self, state: State) -> None:
        pass

    def call(self, world: World, purses: Sequence[Pubkey]) -> Instruction | None:
        return None

    def payload(self, people: Sequence[UUID]) -> dict[str, Any] | None:
        return None


@dataclass(frozen=True)
class Spend:
    """The treasury pays a person."""

    person: int
    amount: int
    kind: Kind = Kind.TREASURY_SPEND

    def apply(self, state: State) -> None:
        state.move("treasury", person(self.person), self.amount)

    def call(self, world: World, purses: Sequence[Pubkey]) -> Instruction | None:
        metas = [
            AccountMeta(world.named["treasury"], False, True), AccountMeta(purses[self.person], False, True),
            AccountMeta(world.named["governance.signer"], True, False),
        ]  # fmt: skip
        return Instruction(TOKEN, struct.pack("<BQ", 3, self.amount), metas)

    def payload(self, people: Sequence[UUID]) -> dict[str, Any] | None:
        return {"project_id": str(people[self.person]), "amount": self.amount}


@dataclass(frozen=True)
class Setting:
    """Parameters are changed. On chain all of a program's are set at once, in the room those that differ; nobody ever
    sets others than these, so that it comes to the same."""

    value: staking.Parameters | slashing.Parameters | proposals.Parameters | escrow.Split

    @property
    def kind(self) -> Kind:
        return Kind.MARKET_PARAMETER if isinstance(self.value, escrow.Split) else Kind.STAKING_PARAMETER

    def apply(self, state: State) -> None:
        match self.value:
            case staking.Parameters():
                state.staking = self.value
            case slashing.Parameters():
                state.slashing = self.value
            case proposals.Parameters():
                state.voting = self.value
            case escrow.Split():
                state.split = self.value

    def call(self, world: World, purses: Sequence[Pubkey]) -> Instruction | None:
        signer = world.named["governance.signer"]
        match self.value:
            case staking.Parameters():
                values = asdict(self.value) | {"padding": bytes(4)}
                return world.instruction("staking", "set_parameters", authority=signer, parameters=values)
            case slashing.Parameters(bond=bond):
                values = PANELS | {"bond": bond}
                return world.instruction("slashing", "set_parameters", authority=signer, parameters=values)
            case proposals.Parameters(quorum_bps=quorum):
                values = VOTING | {"quorum_bps": quorum}
                return world.instruction("governance", "set_parameters", parameters=values)
            case escrow.Split():
                values = asdict(self.value)
                return world.instruction("markets", "set_parameters", authority=signer, split=values)

    def payload(self, people: Sequence[UUID]) -> dict[str, Any] | None:
        match self.value:
            case staking.Parameters():
                values = {f"staking.{name}": value for name, value in asdict(self.value).items()}
            case slashing.Parameters(bond=bond):
                values = {"slashing.bond": bond}
            case proposals.Parameters(quorum_bps=quorum):
                values = {"voting.quorum_bps": quorum}
            case escrow.Split(treasury=treasury, stakers=stakers):
                values = {"market.treasury_bps": treasury, "market.stakers_bps": stakers}
        return {"parameters": values}


SETTINGS = [
    Setting(staking.Parameters(shortest_days=20, least_amount=50 * HYPER)), Setting(staking.Parameters()),
    Setting(slashing.Parameters(bond=7 * HYPER)), Setting(proposals.Parameters(quorum_bps=200)),
    Setting(proposals.Parameters(quorum_bps=5_000)), Setting(escrow.Split(treasury=700, stakers=400)),
    Setting(escrow.Split()),
]  # fmt: skip
