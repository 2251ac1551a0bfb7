"""The typed modules of the programs are what the IDLs say: every record, event, type and instruction."""

from __future__ import annotations

import importlib
import inspect
from types import ModuleType
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hypernode.chain.programs.bundle import NAMES, Name
from hypernode.chain.programs.calls import Call, Record

from .coder import idl
from .test_coder import CLIENTS, told, values


def module(name: Name) -> ModuleType:
    return importlib.import_module(f"hypernode.chain.programs.typed.{name}")


@pytest.mark.parametrize("name", NAMES)
def test_there_is_one_of_each(name: Name) -> None:
    known, typed = idl(name), module(name)
    functions = {
        key for key, value in inspect.getmembers(typed, inspect.isfunction) if value.__module__ == typed.__name__
    }
    assert functions == set(known.instructions)
    assert {each for each in known.types if not hasattr(typed, each)} == set()
    records = {key for key, value in inspect.getmembers(typed, inspect.isclass) if issubclass(value, Record)} - {
        "Record"
    }
    assert records == {each["name"] for each in known.raw["accounts"]}
    assert all(getattr(typed, each).of == name for each in records)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_instructions_become_the_bytes_that_their_arguments_are(name: Name, data: st.DataObject) -> None:
    known, client, typed = idl(name), CLIENTS[name], module(name)
    for instruction, raw in known.instructions.items():
        drawn = {each["name"]: told(data.draw(values(known, each["type"]))) for each in raw["args"]}
        hints = inspect.get_annotations(getattr(typed, instruction), eval_str=True)
        call = getattr(typed, instruction)(
            **{
                key: msgspec.convert(value, hints[key]) if isinstance(value, dict) else value
                for key, value in drawn.items()
            }
        )
        assert isinstance(call, Call)
        assert (call.program, call.name, list(call.arguments)) == (
            name,
            instruction,
            [each["name"] for each in raw["args"]],
        )
        plain = msgspec.to_builtins(call.arguments, builtin_types=(bytes,), enc_hook=str)
        assert plain == drawn
        accounts = dict.fromkeys(client.takes(instruction), str(client.address))
        assert (
            client.instruction(instruction, plain, accounts).data
            == client.instruction(instruction, drawn, accounts).data
        )


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_records_are_read_whole(name: Name, data: st.DataObject) -> None:
    known, client, typed = idl(name), CLIENTS[name], module(name)
    for each in known.raw["accounts"]:
        drawn: Any = told(data.draw(values(known, {"defined": {"name": each["name"]}})))
        record = client.record(each["name"], client.encode_record(each["name"], drawn), getattr(typed, each["name"]))
        assert msgspec.to_builtins(record, builtin_types=(bytes,)) == drawn


def test_what_is_amiss_is_refused() -> None:
    with pytest.raises(TypeError):
        module("markets").open(id=1)
    assert module("staking").unstake().arguments == {}
