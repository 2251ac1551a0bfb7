"""Writes a program's Anchor IDL, spec 0.1.0, so that standard clients need nothing else."""

from __future__ import annotations

from typing import Any, Final

import base58

from .declaration import (
    COMMON_ERRORS,
    FIRST_COMMON,
    FIRST_OWN,
    AccountUse,
    Declaration,
    Field,
    Instruction,
    Shape,
    discriminator,
    element_type,
    sized,
)

ADDRESSES: Final = {
    "system": "11111111111111111111111111111111",
    "token": "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA",
    "instructions": "Sysvar1nstructions1111111111111111111111111",
}

UNSET: Final = base58.b58encode(bytes(32)).decode()
"""The IDL's address: no network is named in the repository; a deployment writes its own."""


def generate(program: Declaration) -> dict[str, Any]:
    """The IDL as a JSON document."""
    shapes = [*program.types.values(), *program.records.values(), *program.events.values()]
    return {
        "address": UNSET,
        "metadata": {"name": program.name, "version": "0.1.0", "spec": "0.1.0", "description": program.about},
        "instructions": [_instruction(program, each) for each in program.instructions],
        "accounts": [
            {"name": name, "discriminator": list(discriminator("account", name))} for name in program.records
        ],
        "events": [{"name": name, "discriminator": list(discriminator("event", name))} for name in program.events],
        "errors": [
            {"code": first + index, "name": name, "msg": message}
            for first, errors in ((FIRST_COMMON, COMMON_ERRORS), (FIRST_OWN, program.errors))
            for index, (name, message) in enumerate(errors)
        ],
        "types": [
            *({"name": name, "type": {"kind": "enum", "variants": [{"name": each} for each in variants]}}
              for name, variants in program.enums.items()),
            *(_struct(shape) for shape in shapes),
        ],
        "constants": [
            {"name": name, "type": "u64", "value": str(value)} for name, value in program.constants.items()
        ],
    }  # fmt: skip


def _type(type_: str) -> Any:
    if (text := sized(type_)) is not None:
        return text[0]
    element, count = element_type(type_)
    named: Any = {"defined": {"name": element}} if element[0].isupper() else element
    return named if count is None else {"array": [named, count]}


def _fields(fields: tuple[Field, ...]) -> list[dict[str, Any]]:
    return [{"name": field.name, "type": _type(field.type)} for field in fields]


def _struct(shape: Shape) -> dict[str, Any]:
    docs = {"docs": [shape.about]} if shape.about else {}
    return {"name": shape.name, **docs, "type": {"kind": "struct", "fields": _fields(shape.fields)}}


def _instruction(program: Declaration, instruction: Instruction) -> dict[str, Any]:
    return {
        "name": instruction.name,
        "docs": [instruction.about, *([f"Further accounts: {instruction.rest}"] if instruction.rest else [])],
        "discriminator": list(discriminator("global", instruction.name)),
        "accounts": [_account(program, instruction, use) for use in instruction.accounts],
        "args": _fields(instruction.arguments),
    }


def _account(program: Declaration, instruction: Instruction, use: AccountUse) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": use.name}
    if "why" in use.options:
        entry["docs"] = [use.options["why"].replace("_", " ")]
    if use.writable:
        entry["writable"] = True
    if use.signer:
        entry["signer"] = True
    if use.kind in ADDRESSES:
        entry["address"] = ADDRESSES[use.kind]
    if use.seeds:
        entry["pda"] = {"seeds": [_seed(program, instruction, seed) for seed in use.seeds]}
    owners = [owner.name for owner in instruction.accounts if use.options.get("address") == f"{owner.name}.{use.name}"]
    if owners and owners[0] in {each.name for each in instruction.accounts if each.kind in program.records}:
        entry["relations"] = owners
    return entry


def _seed(program: Declaration, instruction: Instruction, seed: str) -> dict[str, Any]:
    if seed.startswith("'"):
        return {"kind": "const", "value": list(seed[1:-1].encode())}
    if seed.startswith("#"):
        return {"kind": "arg", "path": seed[1:]}
    if "." in seed:
        account = seed.split(".")[0]
        kind = next(use.kind for use in instruction.accounts if use.name == account)
        return {"kind": "account", "path": seed, "account": kind.split(".")[-1]}
    return {"kind": "account", "path": seed}
