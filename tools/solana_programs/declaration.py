"""A program's declaration, `program.toml`, decoded and checked: the one source of its IDL and its account checks.

The words for an account in an instruction are its kind, then what is demanded of it:

    signer                    signs                       wallet    an address, tied by `address=`
    unchecked                 nothing; says why in `why`  system, token, instructions    well-known addresses
    program, program_data     the loader's records of this program
    Mint, TokenAccount        of the token program        Name, other.Name    a record of this or another program

    writable                  changed by the instruction  signer    signs as well
    init payer=a seeds=[…]    made by the instruction at the canonical address of the seeds
    seeds=[…]                 how clients find it; it was proved when the record was made
    address=x mint=x holder=x its address, or a token account's mint or holder, is x
    from=x                    the program whose record it is has the id x
    repeatable                may be an account given before

where x is `account` (its key) or `account.field`, and a seed is 'text', an x, or `#argument`.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final


class DeclarationError(Exception):
    """A declaration that is not one; the message says where."""


PRIMITIVES: Final[Mapping[str, tuple[int, int]]] = {
    "u8": (1, 1), "bool": (1, 1), "u16": (2, 2), "u32": (4, 4), "u64": (8, 8), "i64": (8, 8), "u128": (16, 8),
    "pubkey": (32, 8),
}  # fmt: skip
"""Size and alignment in bytes."""

COMMON_ERRORS: Final = (
    ("UnknownInstruction", "The program has no such instruction; use the IDL of the deployed version"),
    ("MalformedArguments", "The arguments are not those of the instruction, or bytes follow them"),
    ("WrongAccountCount", "The instruction takes another number of accounts"),
    ("RepeatedAccount", "One account stands in two places; give each its own"),
    ("NotSigner", "An account must sign the transaction and does not"),
    ("NotWritable", "An account is changed and must be passed as writable"),
    ("WrongOwner", "An account belongs to another program"),
    ("WrongRecord", "An account is a record of another kind, or closed"),
    ("WrongAddress", "An account is not the one that belongs here"),
    ("WrongMint", "A mint or token account is not of the token that belongs here"),
    ("WrongHolder", "A token account is held by somebody else"),
    ("WrongTokenAccount", "An account is not an initialized account of the token program"),
    ("AlreadyExists", "The account to be made is there already"),
    ("NotUpgradeAuthority", "Only the holder of the program's upgrade authority may set it up"),
    ("Arithmetic", "A number would leave its bounds"),
    ("Sysvar", "The runtime did not give a system variable"),
    ("NoSignature", "The instruction before this one must prove the signature with the Ed25519 precompile"),
    ("OutOfBounds", "A value is outside the bounds that no vote can change"),
    ("CallFailed", "A call to another program could not be made"),
)
"""Codes from 6000 on, the same in every program; in step with interface/src/error.rs."""

FIRST_COMMON: Final = 6000
FIRST_OWN: Final = 6100

_KINDS = ("signer", "wallet", "unchecked", "system", "token", "instructions", "program", "program_data", "Mint",
          "TokenAccount")  # fmt: skip
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_TYPE_NAME = re.compile(r"[A-Z][A-Za-z0-9]*")


def discriminator(space: str, name: str) -> bytes:
    """Anchor's: the first 8 bytes of sha256("space:name")."""
    return hashlib.sha256(f"{space}:{name}".encode()).digest()[:8]


@dataclass(frozen=True, slots=True)
class Field:
    """A field or an argument; `type` is written as in the declaration."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Shape:
    """A struct: a record, an event, or one inside others. `size` in bytes without a record's discriminator."""

    name: str
    about: str
    fields: tuple[Field, ...]
    size: int


@dataclass(frozen=True, slots=True)
class AccountUse:
    """An account of an instruction and what is demanded of it."""

    name: str
    kind: str
    signer: bool
    writable: bool
    init: bool
    repeatable: bool
    options: Mapping[str, str]
    seeds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Instruction:
    """An instruction. `rest` says what accounts may follow, if any may."""

    name: str
    about: str
    arguments: tuple[Field, ...]
    accounts: tuple[AccountUse, ...]
    rest: str


@dataclass(frozen=True, slots=True)
class Declaration:
    """A whole program. `foreign` holds the records it reads of others, by "program.Name"; `calls`
    the instructions of others that it calls, by program."""

    name: str
    about: str
    constants: Mapping[str, int]
    enums: Mapping[str, tuple[str, ...]]
    types: Mapping[str, Shape]
    records: Mapping[str, Shape]
    events: Mapping[str, Shape]
    instructions: tuple[Instruction, ...]
    errors: tuple[tuple[str, str], ...]
    foreign: Mapping[str, Shape]
    foreign_types: Mapping[str, Shape]
    foreign_enums: Mapping[str, tuple[str, ...]]
    calls: Mapping[str, tuple[str, ...]]


def load(folder: Path, name: str) -> Declaration:
    """Read `<folder>/<name>/program.toml`. Raises DeclarationError."""
    return _Reader(folder, name).declaration()


class _Reader:
    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        with (folder / name / "program.toml").open("rb") as file:
            self.raw: dict[str, Any] = tomllib.load(file)
        unknown = set(self.raw) - {"about", "reads", "calls", "constants", "enums", "types", "records", "events",
                                   "instructions", "errors"}  # fmt: skip
        if unknown:
            raise DeclarationError(f"{name}: unknown tables {sorted(unknown)}")
        self.enums: dict[str, tuple[str, ...]] = {
            each: tuple(variants) for each, variants in self.raw.get("enums", {}).items()
        }
        self.types: dict[str, Shape] = {}

    def declaration(self) -> Declaration:
        foreign: dict[str, Shape] = {}
        foreign_types: dict[str, Shape] = {}
        foreign_enums: dict[str, tuple[str, ...]] = {}
        for program, names in self.raw.get("reads", {}).items():
            other = _Reader(self.folder, program)
            shapes = other._records()
            for each in names:
                foreign[f"{program}.{each}"] = shapes[each]
                for field in shapes[each].fields:
                    element = element_type(field.type)[0]
                    if element in other.types:
                        foreign_types[f"{program}.{element}"] = other.types[element]
                    if element in other.enums:
                        foreign_enums[f"{program}.{element}"] = other.enums[element]
        records = self._records()
        events = {each: self._shape(each, raw, 8, pad=False) for each, raw in self.raw.get("events", {}).items()}
        instructions = tuple(
            self._instruction(each, raw, records, foreign) for each, raw in self.raw["instructions"].items()
        )
        return Declaration(
            name=self.name,
            about=self.raw["about"],
            constants=self.raw.get("constants", {}),
            enums=self.enums,
            types=self.types,
            records=records,
            events=events,
            instructions=instructions,
            errors=tuple(self.raw.get("errors", {}).items()),
            foreign=foreign,
            foreign_types=foreign_types,
            foreign_enums=foreign_enums,
            calls={each: tuple(called) for each, called in self.raw.get("calls", {}).items()},
        )

    def _records(self) -> dict[str, Shape]:
        for each, raw in self.raw.get("types", {}).items():
            self.types[each] = self._shape(each, raw, 0, pad=True)
        return {each: self._shape(each, raw, 8, pad=True) for each, raw in self.raw.get("records", {}).items()}

    def extent(self, type_: str) -> tuple[int, int]:
        """Size and alignment of a type in bytes."""
        element, count = element_type(type_)
        if element in PRIMITIVES:
            size, alignment = PRIMITIVES[element]
        elif element in self.enums:
            size, alignment = 1, 1
        elif element in self.types:
            size, alignment = self.types[element].size, 8
        else:
            raise DeclarationError(f"{self.name}: no type {type_}")
        return size * (1 if count is None else count), alignment

    def _shape(self, name: str, raw: Mapping[str, Any], start: int, *, pad: bool) -> Shape:
        """A struct without holes, so that its memory is its Borsh form; padding at the end becomes a field."""
        if not _TYPE_NAME.fullmatch(name):
            raise DeclarationError(f"{self.name}: {name} is not a name for a type")
        fields, at = [], start
        for field, type_ in raw["fields"].items():
            size, alignment = self.extent(type_)
            if at % alignment:
                raise DeclarationError(f"{self.name}.{name}.{field}: would leave a hole before it; order by size")
            fields.append(Field(field, type_))
            at += size
        if pad and at % 8:
            fields.append(Field("padding", f"[u8; {-at % 8}]"))
            at += -at % 8
        return Shape(name, raw.get("about", ""), tuple(fields), at - start)

    def _instruction(
        self, name: str, raw: Mapping[str, Any], records: Mapping[str, Shape], foreign: Mapping[str, Shape]
    ) -> Instruction:
        where = f"{self.name}.{name}"
        arguments = tuple(Field(each, type_) for each, type_ in raw.get("arguments", {}).items())
        for argument in arguments:
            if sized(argument.type) is None:
                self.extent(argument.type)
        accounts: list[AccountUse] = []
        for each, words in raw["accounts"].items():
            use = _account(where, each, words)
            if use.kind not in _KINDS and use.kind not in records and use.kind not in foreign:
                raise DeclarationError(f"{where}.{each}: no kind {use.kind}")
            if use.kind in foreign and "from" not in use.options:
                raise DeclarationError(f"{where}.{each}: say from which program it must be")
            if use.kind == "wallet" and not use.signer and "address" not in use.options:
                raise DeclarationError(f"{where}.{each}: nothing ties this address to anything")
            if use.kind == "unchecked" and "why" not in use.options:
                raise DeclarationError(f"{where}.{each}: say why it may go unchecked")
            if use.kind == "TokenAccount" and not use.init and not {"mint", "address"} & set(use.options):
                raise DeclarationError(f"{where}.{each}: say of which mint it must be")
            if use.init and (not use.seeds or "payer" not in use.options):
                raise DeclarationError(f"{where}.{each}: what is made needs seeds and a payer")
            accounts.append(use)
        return Instruction(name, raw["about"], arguments, tuple(accounts), raw.get("rest", ""))


def _account(where: str, name: str, words: str) -> AccountUse:
    if not _NAME.fullmatch(name):
        raise DeclarationError(f"{where}: {name} is not a name for an account")
    seeds = re.search(r" seeds=\[(.*?)\]", words)
    if seeds:
        words = words.replace(seeds[0], "")
    kind, *rest = words.split()
    options = dict(word.split("=", 1) for word in rest if "=" in word)
    flags = {word for word in rest if "=" not in word}
    unknown = flags - {"signer", "writable", "init", "repeatable"} | set(options) - {
        "payer", "address", "mint", "holder", "from", "why"
    }  # fmt: skip
    if unknown:
        raise DeclarationError(f"{where}.{name}: unknown words {sorted(unknown)}")
    return AccountUse(
        name=name,
        kind=kind,
        signer=kind == "signer" or "signer" in flags,
        writable="writable" in flags or "init" in flags,
        init="init" in flags,
        repeatable="repeatable" in flags,
        options=options,
        seeds=tuple(seed.strip() for seed in seeds[1].split(",")) if seeds else (),
    )


def element_type(type_: str) -> tuple[str, int | None]:
    """`[T; N]` as (T, N), any other type as (itself, None)."""
    array = re.fullmatch(r"\[(\w+); (\d+)\]", type_)
    return (array[1], int(array[2])) if array else (type_, None)


def sized(type_: str) -> tuple[str, int] | None:
    """`bytes<=N` or `string<=N` as (bytes or string, N); None for a type of fixed size."""
    match = re.fullmatch(r"(bytes|string)<=(\d+)", type_)
    return (match[1], int(match[2])) if match else None


def constant_name(name: str) -> str:
    """`CamelCase` as `CAMEL_CASE`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).upper()


def seed_type(program: Declaration, instruction: Instruction, seed: str) -> str:
    """The type of a seed that is no text: of an `#argument`, an `account.field`, or pubkey for an account's key."""
    if seed.startswith("#"):
        return next(field.type for field in instruction.arguments if field.name == seed[1:])
    if "." not in seed:
        return "pubkey"
    account, name = seed.split(".")
    kind = next(use.kind for use in instruction.accounts if use.name == account)
    shape = program.records.get(kind) or program.foreign[kind]
    return next(field.type for field in shape.fields if field.name == name)
