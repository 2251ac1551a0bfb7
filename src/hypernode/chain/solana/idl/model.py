"""An IDL as it is written (https://www.anchor-lang.com/docs/basics/idl, spec 0.1.0)."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec

from hypernode.chain.solana.errors import IdlInvalid

IDL_BYTES: Final = 4 * 1024 * 1024
SPEC: Final = "0.1.0"

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Discriminator = Annotated[bytes, msgspec.Meta(max_length=32)]


class Seed(msgspec.Struct, frozen=True):
    """A part of what an address is derived from."""

    kind: Literal["const", "arg", "account"]
    value: list[int] = []
    path: str = ""
    account: str | None = None


class Pda(msgspec.Struct, frozen=True):
    """How an address is derived; `program` says of which program, if not of this."""

    seeds: Annotated[list[Seed], msgspec.Meta(max_length=16)]
    program: Seed | None = None


class AccountItem(msgspec.Struct, frozen=True):
    """An account that an instruction takes, or a named group of them."""

    name: Name
    writable: bool = False
    signer: bool = False
    optional: bool = False
    address: str | None = None
    pda: Pda | None = None
    relations: list[str] = []
    accounts: list[AccountItem] | None = None


class Field(msgspec.Struct, frozen=True):
    """A named value. `type` is read by `borsh.py`."""

    name: Name
    type: Any


class Instruction(msgspec.Struct, frozen=True):
    """An instruction: its discriminator, accounts in order, and arguments."""

    name: Name
    discriminator: list[int]
    accounts: Annotated[list[AccountItem], msgspec.Meta(max_length=256)]
    args: list[Field]


class Discriminated(msgspec.Struct, frozen=True):
    """An account or event: the type of the same name, behind a discriminator."""

    name: Name
    discriminator: list[int]


class Variant(msgspec.Struct, frozen=True):
    """One variant of an enum; its fields are named, or types in order."""

    name: Name
    fields: list[Any] = []


class TypeBody(msgspec.Struct, frozen=True):
    """What a defined type is."""

    kind: Literal["struct", "enum", "type"]
    fields: list[Any] = []
    variants: Annotated[list[Variant], msgspec.Meta(max_length=256)] = []
    alias: Any = None


class TypeDefinition(msgspec.Struct, frozen=True):
    """A defined type."""

    name: Name
    type: TypeBody
    serialization: str = "borsh"
    generics: list[Any] = []


class ErrorDefinition(msgspec.Struct, frozen=True):
    """An error that the program returns as a custom code."""

    code: Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]
    name: Name
    msg: str = ""


class Metadata(msgspec.Struct, frozen=True):
    """About the IDL."""

    name: Name
    version: str = ""
    spec: str = ""


class Idl(msgspec.Struct, frozen=True):
    """A program's interface."""

    address: str
    metadata: Metadata
    instructions: list[Instruction]
    accounts: list[Discriminated] = []
    events: list[Discriminated] = []
    errors: list[ErrorDefinition] = []
    types: list[TypeDefinition] = []


def read_idl(data: bytes) -> Idl:
    """Read an IDL. Raises IdlInvalid."""
    if len(data) > IDL_BYTES:
        raise IdlInvalid(f"the IDL has {len(data)} bytes, at most {IDL_BYTES}")
    try:
        idl = msgspec.json.decode(data, type=Idl)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise IdlInvalid(f"not an IDL of spec {SPEC}: {error}") from error
    if idl.metadata.spec != SPEC:
        raise IdlInvalid(f"the IDL is of spec {idl.metadata.spec!r}, not {SPEC}; convert it with `anchor idl convert`")
    return idl
