"""The programs' errors by name, and the embedded room's by code: the same refusals in two languages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

CODES: Final[Mapping[str, str | None]] = {
    "InsufficientFunds": "ledger.insufficient_funds",
    "LockOutOfBounds": "stake.refused",
    "TooLittle": "stake.refused",
    "NotWithdrawn": None,  # a record is used again once it is empty; in the room one opens as many stakes as one likes
    "NotActive": "stake.state",
    "ReportedTooLate": "stake.state",
    "NotUnstaking": "stake.state",
    "Frozen": "stake.frozen",
    "StillCooling": "stake.cooling",
    "NobodyStakes": "stake.none",
    "NothingToClaim": "reward.nothing",
    "NotDue": "unlock.not_due",
    "NothingLeft": "unlock.not_due",
    "WeightTooLow": "proposal.weight_too_low",
    "NoWeight": "proposal.no_weight",
    "AlreadyVoted": "proposal.voted",
    "TooEarly": "governance.too_early",
    "TooLate": "governance.too_late",
    "NotOnPanel": "case.not_on_panel",
    "WrongReveal": "case.wrong_reveal",
    "BadLength": None,  # a market's terms say how long a job may be
}
"""None is for what the room cannot refuse, because it knows no such thing; it is not asked then."""

OF_PROPOSALS: Final[Mapping[str, str | None]] = {"WrongState": "proposal.state", "InsufficientFunds": "fund.too_small"}
OF_CASES: Final[Mapping[str, str | None]] = {"WrongState": "case.state"}
OF_JOBS: Final[Mapping[str, str | None]] = {"WrongState": None, "TooEarly": None}
"""What the room says otherwise, by what it is about. Who may end a job, and when, is the market's to say: on the
ledger that is decided by leases, which have no counterpart on chain."""

ABOUT_A_STAKE: Final = frozenset({"NotActive", "NotUnstaking", "NothingToClaim", "WeightTooLow", "NoWeight"})
"""Of a stake that never was, a program says these, since its empty record is there; the room finds no stake."""


def code_of(name: str, staked: bool, of: Mapping[str, str | None]) -> str | None:
    """What the room says where a program gives the error `name`. `staked` is whether the stake it is about ever was,
    `of` what is said otherwise about this kind of record."""
    return "not_found" if name in ABOUT_A_STAKE and not staked else {**CODES, **of}[name]
