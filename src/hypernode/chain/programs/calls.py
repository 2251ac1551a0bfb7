"""What the typed modules of the programs are made of."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec
from solders.pubkey import Pubkey

from hypernode.chain.programs.bundle import Name

Key = Pubkey | str
"""An address, or one in base58."""


class Call(msgspec.Struct, frozen=True):
    """An instruction of a program and its arguments; accounts are named when it is sent."""

    program: Name
    name: str
    arguments: dict[str, Any]


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A record of the program `of`, under the name of its class."""

    of: ClassVar[Name]
