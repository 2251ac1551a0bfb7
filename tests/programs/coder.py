"""Borsh by an Anchor IDL: just enough to drive programs from nothing but their IDL, as a client would.

The client has a reader of its own, `hypernode.chain.solana.idl`. This one is beside it as its oracle: two that were
written apart must agree on every byte (`test_coder.py`), and a mistake of the client's cannot hide in the tests of the
programs. It also refuses a record with bytes that belong to no field, which a client must allow.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from functools import cache
from typing import Any

from solders.pubkey import Pubkey

from hypernode.chain.programs.bundle import IDLS

NUMBERS = {"u8": (1, False), "u16": (2, False), "u32": (4, False), "u64": (8, False), "u128": (16, False),
           "i64": (8, True)}  # fmt: skip


class Idl:
    """One program's IDL."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.raw: dict[str, Any] = json.loads((IDLS / f"{name}.json").read_text())
        self.instructions = {each["name"]: each for each in self.raw["instructions"]}
        self.types = {each["name"]: each["type"] for each in self.raw["types"]}
        self.errors = {each["code"]: each for each in self.raw["errors"]}
        self.codes = {each["name"]: each["code"] for each in self.raw["errors"]}

    def encode(self, type_: Any, value: Any) -> bytes:
        match type_:
            case "bool":
                return bytes([value])
            case "pubkey":
                return bytes(value)
            case "bytes" | "string":
                raw = value.encode() if isinstance(value, str) else value
                return struct.pack("<I", len(raw)) + raw
            case str():
                size, signed = NUMBERS[type_]
                return int(value).to_bytes(size, "little", signed=signed)
            case {"array": ["u8", size]}:
                assert len(value) == size, (type_, value)
                return bytes(value)
            case {"array": [inner, size]}:
                assert len(value) == size, (type_, value)
                return b"".join(self.encode(inner, each) for each in value)
            case {"defined": {"name": name}}:
                defined = self.types[name]
                if defined["kind"] == "enum":
                    variants = [each["name"] for each in defined["variants"]]
                    return bytes([variants.index(value) if isinstance(value, str) else value])
                return b"".join(self.encode(each["type"], value[each["name"]]) for each in defined["fields"])
        raise TypeError(type_)

    def decode(self, type_: Any, data: bytes, at: int = 0) -> tuple[Any, int]:
        match type_:
            case "bool":
                return bool(data[at]), at + 1
            case "pubkey":
                return Pubkey.from_bytes(data[at : at + 32]), at + 32
            case str():
                size, signed = NUMBERS[type_]
                return int.from_bytes(data[at : at + size], "little", signed=signed), at + size
            case {"array": ["u8", size]}:
                return data[at : at + size], at + size
            case {"array": [inner, size]}:
                values = []
                for _ in range(size):
                    value, at = self.decode(inner, data, at)
                    values.append(value)
                return values, at
            case {"defined": {"name": name}}:
                defined = self.types[name]
                if defined["kind"] == "enum":
                    return defined["variants"][data[at]]["name"], at + 1
                return self.struct(name, data, at)
        raise TypeError(type_)

    def struct(self, name: str, data: bytes, at: int = 0) -> tuple[dict[str, Any], int]:
        fields = {}
        for field in self.types[name]["fields"]:
            fields[field["name"]], at = self.decode(field["type"], data, at)
        return fields, at

    def record(self, name: str, data: bytes) -> dict[str, Any]:
        """A record, whose every byte belongs to a field."""
        assert data[:8] == discriminator("account", name), f"not a {name}"
        fields, end = self.struct(name, data, 8)
        assert end == len(data), f"{name} has {len(data)} bytes, of which its IDL names {end}"
        return fields

    def encode_record(self, name: str, fields: Mapping[str, Any]) -> bytes:
        """The record with these fields."""
        return discriminator("account", name) + self.encode({"defined": {"name": name}}, fields)

    def event(self, data: bytes) -> tuple[str, dict[str, Any]] | None:
        for each in self.raw["events"]:
            if bytes(each["discriminator"]) == data[:8]:
                fields, end = self.struct(each["name"], data, 8)
                assert end == len(data)
                return each["name"], fields
        return None


def discriminator(space: str, name: str) -> bytes:
    return hashlib.sha256(f"{space}:{name}".encode()).digest()[:8]


@cache
def idl(name: str) -> Idl:
    return Idl(name)


def arguments_of(program: Idl, instruction: str, values: Mapping[str, Any]) -> bytes:
    raw = program.instructions[instruction]
    return bytes(raw["discriminator"]) + b"".join(
        program.encode(each["type"], values[each["name"]]) for each in raw["args"]
    )
