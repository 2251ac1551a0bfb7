"""The programs as they come with this package: IDLs and images, as `make programs` made them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, get_args

from hypernode.chain.solana.idl.model import read_idl
from hypernode.chain.solana.idl.program import Program
from hypernode.kernel.errors import InvalidInput

Name = Literal["rewards", "token", "nodes", "slashing", "staking", "markets", "governance"]
"""In the order in which they are set up."""
NAMES: Final[tuple[Name, ...]] = get_args(Name)

IDLS: Final = Path(__file__).with_name("idl")
"""`<program>.json`: Anchor IDLs, spec 0.1.0, whose address is all zeros."""
IMAGES: Final = Path(__file__).with_name("images")
"""`<program>.so` (SBF v3) and `<program>.v0.so` (older runtimes), with their SHA256SUMS."""


def program(name: Name, address: str) -> Program:
    """The program at an address, spoken to by its IDL. Raises IdlInvalid for what is no address."""
    return Program(read_idl((IDLS / f"{name}.json").read_bytes()), address)


def programs(addresses: Mapping[str, str]) -> Mapping[Name, Program]:
    """All programs by name. Raises InvalidInput unless each has an address, and nothing else has."""
    if set(addresses) != set(NAMES):
        raise InvalidInput(f"addresses of {', '.join(NAMES)} are wanted, not of {', '.join(addresses) or 'nothing'}")
    return {name: program(name, addresses[name]) for name in NAMES}
