"""Quantities people write with units, in the base units documents hold: bytes, seconds, thousandths of a core."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Final

from hypernode.kernel import money

_QUANTITY = re.compile(r"^\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-zµμ]*)\s*$")

_BYTES: Final = {
    "B": 1,
    "kB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}
_SECONDS: Final = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_MILLI_CPU: Final = {"m": 1, "": 1000, "core": 1000, "cores": 1000}


def _quantity(text: str, units: Mapping[str, int], example: str) -> int:
    match = _QUANTITY.match(text)
    if match is None or match[2] not in units:
        known = ", ".join(unit for unit in units if unit)
        raise ValueError(f"{text!r} has no known unit; write it as in {example} (units: {known})")
    value = Fraction(match[1]) * units[match[2]]
    if value.denominator != 1:
        raise ValueError(f"{text!r} is not a whole number of the smallest unit")
    return int(value)


def parse_bytes(text: str) -> int:
    """Bytes from "512MiB" or "2GB". A unit is required. Raises ValueError."""
    return _quantity(text, _BYTES, "'512MiB'")


def parse_seconds(text: str) -> int:
    """Seconds from "90s", "10m" or "2h". A unit is required. Raises ValueError."""
    return _quantity(text, _SECONDS, "'10m'")


def parse_milli_cpu(text: str) -> int:
    """Thousandths of a core from "500m", "2" or "1.5 cores". Raises ValueError."""
    return _quantity(text, _MILLI_CPU, "'500m' or '2 cores'")


PARSERS: Mapping[str, Callable[[str], int]] = {
    "bytes": parse_bytes,
    "s": parse_seconds,
    "milli_cpu": parse_milli_cpu,
    "micro_hyper": money.parse,
}
"""How a text becomes an integer, by the `unit` that a field's metadata names (see `decode`)."""


def show_bytes(count: int) -> str:
    """Bytes as people read them, in binary units, to at most one decimal: `1.5 GiB`."""
    value, unit = float(count), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024 or unit == "TiB":
            break
        value /= 1024
    return f"{value:.1f}".rstrip("0").rstrip(".") + f" {unit}"
