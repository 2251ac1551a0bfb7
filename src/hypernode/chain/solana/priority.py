"""What to offer for a compute unit, from what others paid lately."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec

UNITS: Final = 1_400_000
"""The most compute units a transaction may use."""
_SPARE_UNITS: Final = 1_000


class PriorityFee(msgspec.Struct, frozen=True):
    """How much to offer: the `percentile` of recent prices for the accounts a transaction writes to, within bounds, in
    millionths of a lamport a unit. `most` bounds what haste may cost: a limit of 200,000 units at the default costs at
    most 200,000 lamports."""

    percentile: Annotated[int, msgspec.Meta(ge=0, le=100)] = 75
    least: Annotated[int, msgspec.Meta(ge=0)] = 0
    most: Annotated[int, msgspec.Meta(ge=0)] = 1_000_000


def unit_price(recent: Sequence[int], wanted: PriorityFee) -> int:
    """The price to offer. Slots in which nobody paid count: where there is no hurry nothing need be offered."""
    ordered = sorted(recent)
    found = ordered[min(len(ordered) - 1, len(ordered) * wanted.percentile // 100)] if ordered else 0
    return max(wanted.least, min(wanted.most, found))


def unit_limit(simulated: int) -> int:
    """The limit to set for a transaction that used so many units in a simulation: a tenth and some more, as the state
    may differ once it is executed."""
    return min(UNITS, simulated + simulated // 10 + _SPARE_UNITS)
