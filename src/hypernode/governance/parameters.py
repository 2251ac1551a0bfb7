"""Governance parameters: what a vote may change, each with its default and with bounds that no vote can cross."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec.structs import asdict, replace

from hypernode.kernel.errors import FieldError, ParameterOutOfBounds
from hypernode.kernel.money import MICRO_PER_HYPER
from hypernode.ledger.model import LEAST_OPERATOR_BPS, Shares

HOUR_S: Final = 3600
DAY_S: Final = 24 * HOUR_S
HIGHEST_SLASH_BPS: Final = 5000


class StakingRules(msgspec.Struct, frozen=True, kw_only=True):
    """What a stake may be."""

    least_amount: int = MICRO_PER_HYPER
    shortest_days: int = 14
    longest_days: int = 365


class SlashingRules(msgspec.Struct, frozen=True, kw_only=True):
    """Reports: what they cost, who judges, how long each phase takes, and what each kind takes of a stake. A case keeps
    those it was made under."""

    bond: int = 100 * MICRO_PER_HYPER
    validator_amount: int = 10_000 * MICRO_PER_HYPER
    commit_seconds: int = DAY_S
    reveal_seconds: int = DAY_S
    appeal_seconds: int = 7 * DAY_S
    timeout_bps: int = 100
    offline_bps: int = 500
    repeated_failures_bps: int = 1000
    invalid_result_bps: int = 2500
    forgery_bps: int = 5000


class VotingRules(msgspec.Struct, frozen=True, kw_only=True):
    """Proposals: the weight that may make one, how long each phase takes, and the quorum. A vote keeps those it
    began under."""

    least_weight: int = 1_000_000 * MICRO_PER_HYPER
    voting_seconds: int = 3 * DAY_S
    timelock_seconds: int = DAY_S
    expiry_seconds: int = 14 * DAY_S
    quorum_bps: int = 1000


class Parameters(msgspec.Struct, frozen=True, kw_only=True):
    """All of them. A name is that of the group and that of the field: `staking.shortest_days`."""

    market: Shares = Shares()
    staking: StakingRules = StakingRules()
    slashing: SlashingRules = SlashingRules()
    voting: VotingRules = VotingRules()


class Bounds(msgspec.Struct, frozen=True):
    """The lowest and the highest value, both allowed, and what it counts."""

    lowest: int
    highest: int
    unit: str


_SHARE: Final = Bounds(0, 10_000 - LEAST_OPERATOR_BPS, "bps")
_SLASH: Final = Bounds(1, HIGHEST_SLASH_BPS, "bps")
_PHASE: Final = Bounds(HOUR_S, 7 * DAY_S, "s")

BOUNDS: Final[Mapping[str, Bounds]] = {
    "market.treasury_bps": _SHARE,
    "market.incentive_bps": _SHARE,
    "market.stakers_bps": _SHARE,
    "staking.least_amount": Bounds(1, 1_000_000 * MICRO_PER_HYPER, "µHYPER"),
    "staking.shortest_days": Bounds(14, 365, "days"),
    "staking.longest_days": Bounds(14, 365, "days"),
    "slashing.bond": Bounds(MICRO_PER_HYPER, 100_000 * MICRO_PER_HYPER, "µHYPER"),
    "slashing.validator_amount": Bounds(100 * MICRO_PER_HYPER, 1_000_000 * MICRO_PER_HYPER, "µHYPER"),
    "slashing.commit_seconds": _PHASE,
    "slashing.reveal_seconds": _PHASE,
    "slashing.appeal_seconds": Bounds(DAY_S, 30 * DAY_S, "s"),
    "slashing.timeout_bps": _SLASH,
    "slashing.offline_bps": _SLASH,
    "slashing.repeated_failures_bps": _SLASH,
    "slashing.invalid_result_bps": _SLASH,
    "slashing.forgery_bps": _SLASH,
    "voting.least_weight": Bounds(1_000 * MICRO_PER_HYPER, 10_000_000 * MICRO_PER_HYPER, "µHYPER of weight"),
    "voting.voting_seconds": Bounds(DAY_S, 14 * DAY_S, "s"),
    "voting.timelock_seconds": Bounds(HOUR_S, 7 * DAY_S, "s"),
    "voting.expiry_seconds": Bounds(HOUR_S + DAY_S, 30 * DAY_S, "s"),
    "voting.quorum_bps": Bounds(100, 5_000, "bps"),
}
"""The hard bounds. `check` adds those between several parameters."""


def values(parameters: Parameters) -> dict[str, int]:
    """Every parameter by its name."""
    return {
        f"{group}.{name}": value for group, rules in asdict(parameters).items() for name, value in asdict(rules).items()
    }


def restored(stored: Mapping[str, Any]) -> Parameters:
    """The parameters with what votes have changed. What bounds of today would not allow any more is as by default;
    if that is several of them together, their whole group is."""
    defaults = asdict(Parameters())
    groups = dict(defaults)
    for name, value in stored.items():
        if _problem(name, value) is None:
            group, _, field = name.partition(".")
            groups[group] = replace(groups[group], **{field: value})
    return Parameters(**groups | {group: defaults[group] for group in _together(Parameters(**groups))})


def changed(parameters: Parameters, changes: Mapping[str, Any]) -> Parameters:
    """The parameters after some changes. Raises ParameterOutOfBounds with everything that is wrong."""
    errors = [problem for name, value in changes.items() if (problem := _problem(name, value))]
    groups = asdict(parameters)
    if not errors:
        for name, value in changes.items():
            group, _, field = name.partition(".")
            groups[group] = replace(groups[group], **{field: value})
        errors = [FieldError("$", problem) for problem in _together(Parameters(**groups)).values()]
    if errors:
        raise ParameterOutOfBounds("the parameters cannot be changed like this", errors=errors)
    return Parameters(**groups)


def _problem(name: str, value: Any) -> FieldError | None:
    bounds = BOUNDS.get(name)
    if bounds is None:
        return FieldError(f"$.{name}", "there is no such parameter; see: hypernode gov parameters")
    if type(value) is not int or not bounds.lowest <= value <= bounds.highest:
        return FieldError(f"$.{name}", f"must be an integer from {bounds.lowest} to {bounds.highest} {bounds.unit}")
    return None


def _together(parameters: Parameters) -> dict[str, str]:
    """What is wrong between the parameters of a group, by group."""
    staking, voting, market = parameters.staking, parameters.voting, parameters.market
    problems = {}
    if staking.shortest_days > staking.longest_days:
        problems["staking"] = "the shortest lock would be longer than the longest"
    if voting.expiry_seconds < voting.timelock_seconds + DAY_S:
        problems["voting"] = "between timelock and expiry there must be a day to execute"
    if market.operator_bps < LEAST_OPERATOR_BPS:
        problems["market"] = f"the operator must be left {LEAST_OPERATOR_BPS} bps of every price"
    return problems
