"""The two readers of IDLs say the same of every argument and every record: the client's, and the plain one of these
tests."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from solders.pubkey import Pubkey

from hypernode.chain.programs.bundle import NAMES, Name, program

from .coder import Idl, arguments_of, idl

CLIENTS = {name: program(name, str(Pubkey.default())) for name in NAMES}


def values(known: Idl, kind: Any) -> st.SearchStrategy[Any]:
    """What a type of an IDL can be; keys as these tests have them."""
    match kind:
        case "bool":
            return st.booleans()
        case "pubkey":
            return st.binary(min_size=32, max_size=32).map(Pubkey.from_bytes)
        case "string":
            return st.text(max_size=20)
        case "bytes":
            return st.binary(max_size=20)
        case str():
            bits = int(kind[1:])
            return (
                st.integers(0, 2**bits - 1) if kind[0] == "u" else st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
            )
        case {"array": ["u8", size]}:
            return st.binary(min_size=size, max_size=size)
        case {"array": [inner, size]}:
            return st.lists(values(known, inner), min_size=size, max_size=size)
        case {"defined": {"name": name}}:
            defined = known.types[name]
            if defined["kind"] == "enum":
                return st.sampled_from([each["name"] for each in defined["variants"]])
            return st.fixed_dictionaries({each["name"]: values(known, each["type"]) for each in defined["fields"]})
    raise TypeError(kind)


def told(value: Any) -> Any:
    """As the client tells it: keys in base58."""
    match value:
        case Pubkey():
            return str(value)
        case dict():
            return {name: told(part) for name, part in value.items()}
        case list():
            return [told(part) for part in value]
    return value


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_arguments_are_the_same_bytes(name: Name, data: st.DataObject) -> None:
    known, client = idl(name), CLIENTS[name]
    for instruction, raw in known.instructions.items():
        given_values = {each["name"]: data.draw(values(known, each["type"])) for each in raw["args"]}
        accounts = dict.fromkeys(client.takes(instruction), Pubkey.default())
        made = client.instruction(instruction, told(given_values), accounts)
        assert bytes(made.data) == arguments_of(known, instruction, given_values)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_records_are_the_same_values(name: Name, data: st.DataObject) -> None:
    known, client = idl(name), CLIENTS[name]
    for each in known.raw["accounts"]:
        record = data.draw(values(known, {"defined": {"name": each["name"]}}))
        raw = client.encode_record(each["name"], told(record))
        assert raw[8:] == known.encode({"defined": {"name": each["name"]}}, record)
        assert known.record(each["name"], raw) == record
        assert client.record(each["name"], raw, dict) == told(record)
