"""Money: integers of µHYPER (1 HYPER = 1,000,000 µHYPER), never floats. Every division floors."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final, NewType

from hypernode.kernel import limits

MicroHyper = NewType("MicroHyper", int)
"""An amount of money in µHYPER."""

MICRO_PER_HYPER: Final = 1_000_000
BPS: Final = 10_000

_AMOUNT = re.compile(r"^\s*([0-9]+(?:\.[0-9]+)?)\s*(HYPER|uHYPER|µHYPER|μHYPER)\s*$")


def parse(text: str) -> MicroHyper:
    """Read "1.5 HYPER" or "1500000 uHYPER".

    The unit is required, so that nobody is off by a factor of a million. Raises ValueError when the unit is missing
    or the amount is finer than 1 µHYPER or out of bounds.
    """
    match = _AMOUNT.match(text)
    if match is None:
        raise ValueError(f"{text!r} is not an amount; write it with its unit, as in '1.5 HYPER' or '1500000 uHYPER'")
    factor = MICRO_PER_HYPER if match[2] == "HYPER" else 1
    micro = Decimal(match[1]) * factor
    if micro != micro.to_integral_value():
        raise ValueError(f"{text!r} is finer than 1 µHYPER")
    if micro > limits.MICRO_HYPER:
        raise ValueError(f"{text!r} is more than there can be")
    return MicroHyper(int(micro))


def show(amount: int) -> str:
    """An amount as people read it: `1.5 HYPER`, without trailing zeros and without rounding."""
    sign, micro = ("-", -amount) if amount < 0 else ("", amount)
    whole, rest = divmod(micro, MICRO_PER_HYPER)
    fraction = f"{rest:06d}".rstrip("0")
    return f"{sign}{whole:,}{'.' + fraction if fraction else ''} HYPER"


def share(amount: int, bps: int) -> MicroHyper:
    """`bps` ten-thousandths of `amount`, floored."""
    return MicroHyper(amount * bps // BPS)
