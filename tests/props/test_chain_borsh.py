"""Borsh by an IDL's types: what is written is read again, and nothing that is read can do harm."""

from __future__ import annotations

import json
import struct

import base58
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypernode.chain.solana.errors import AccountsUnresolved, IdlInvalid, ValueUnfit
from hypernode.chain.solana.idl.borsh import Reader
from hypernode.chain.solana.idl.model import Idl, read_idl
from hypernode.chain.solana.idl.program import Program
from hypernode.chain.solana.idl.types import Types

KEY = base58.b58encode(bytes(range(32))).decode()
OTHER = base58.b58encode(bytes(range(1, 33))).decode()


def idl(**parts) -> Idl:
    whole = {"address": KEY, "metadata": {"name": "x", "version": "0", "spec": "0.1.0"}, "instructions": [], **parts}
    return read_idl(json.dumps(whole).encode())


EMPTY = Types(idl())
PLAIN = {
    "bool": st.booleans(),
    "string": st.text(max_size=20),
    "bytes": st.binary(max_size=20),
    "pubkey": st.binary(min_size=32, max_size=32).map(lambda raw: base58.b58encode(raw).decode()),
    "f64": st.floats(allow_nan=False),
    **{f"u{bits}": st.integers(0, 2**bits - 1) for bits in (8, 16, 32, 64, 128, 256)},
    **{f"i{bits}": st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32, 64, 128, 256)},
}
plain = st.sampled_from(sorted(PLAIN)).map(lambda name: (name, PLAIN[name]))


def wrapped(inner):
    def optional(pair, flag):
        return {flag: pair[0]}, st.none() | pair[1]

    def many(pair):
        values = st.binary(max_size=4) if pair[0] == "u8" else st.lists(pair[1], max_size=4)
        return {"vec": pair[0]}, values

    def fixed(pair, count):
        values = st.binary(min_size=count, max_size=count)
        return {"array": [pair[0], count]}, (
            values if pair[0] == "u8" else st.lists(pair[1], min_size=count, max_size=count)
        )

    # An option of an option cannot tell None from an inner None, in Python as in JSON.
    whole = inner.filter(lambda pair: not (isinstance(pair[0], dict) and {"option", "coption"} & pair[0].keys()))
    return st.one_of(
        st.builds(optional, whole, st.sampled_from(["option", "coption"])),
        inner.map(many),
        st.builds(fixed, inner, st.integers(0, 4)),
    )


typed_values = st.recursive(plain, wrapped, max_leaves=4).flatmap(lambda pair: st.tuples(st.just(pair[0]), pair[1]))


@given(typed_values)
def test_what_is_written_is_read_again(pair):
    kind, value = pair
    codec, out = EMPTY.codec(kind), bytearray()
    codec.write(value, out)
    reader = Reader(bytes(out))
    assert codec.read(reader) == value
    assert reader.left == 0
    assert len(out) >= codec.least()


@given(typed_values, st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(pair, data):
    codec = EMPTY.codec(pair[0])
    reader = Reader(data)
    try:
        value = codec.read(reader)
    except ValueUnfit:
        return
    out = bytearray()
    codec.write(value, out)
    assert bytes(out) == data[: len(data) - reader.left]


DEFINED = idl(
    types=[
        {
            "name": "Order",
            "type": {
                "kind": "struct",
                "fields": [
                    {"name": "id", "type": "u64"},
                    {"name": "state", "type": {"defined": {"name": "State"}}},
                    {"name": "pair", "type": {"defined": {"name": "Pair"}}},
                ],
            },
        },
        {"name": "Pair", "type": {"kind": "struct", "fields": ["u8", "bool"]}},
        {
            "name": "State",
            "type": {
                "kind": "enum",
                "variants": [
                    {"name": "Open"},
                    {"name": "Paid", "fields": [{"name": "amount", "type": "u16"}]},
                    {"name": "Split", "fields": ["u8", "u8"]},
                ],
            },
        },
    ],
    accounts=[{"name": "Order", "discriminator": [9, 9]}],
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"id": 1, "state": "Open", "pair": (2, True)}, "0100000000000000000201"),
        ({"id": 1, "state": {"Paid": {"amount": 258}}, "pair": (2, False)}, "01000000000000000102010200"),
        ({"id": 1, "state": {"Split": (7, 8)}, "pair": (0, True)}, "01000000000000000207080001"),
    ],
)
def test_structs_and_enums_are_laid_out_as_borsh_says(value, expected):
    program = Program(DEFINED)
    data = program.encode_record("Order", value)
    assert data.hex() == "0909" + expected
    read = program.record("Order", data + b"room to grow", dict)
    assert read["state"] == value["state"]
    assert tuple(read["pair"]) == value["pair"]


@pytest.mark.parametrize(
    "value",
    [
        {"id": 1, "state": "Open"},
        {"id": 1, "state": "Open", "pair": (1, True), "more": 1},
        {"id": -1, "state": "Open", "pair": (1, True)},
        {"id": 2**64, "state": "Open", "pair": (1, True)},
        {"id": True, "state": "Open", "pair": (1, True)},
        {"id": 1.0, "state": "Open", "pair": (1, True)},
        {"id": 1, "state": "Shut", "pair": (1, True)},
        {"id": 1, "state": "Paid", "pair": (1, True)},
        {"id": 1, "state": {"Open": {}}, "pair": (1, True)},
        {"id": 1, "state": "Open", "pair": (1, 1)},
        {"id": 1, "state": "Open", "pair": (256, True)},
    ],
)
def test_values_that_do_not_fit_are_refused(value):
    with pytest.raises(ValueUnfit):
        Program(DEFINED).encode_record("Order", value)


@pytest.mark.parametrize("data", [b"", b"\x09", b"\x09\x08" + bytes(20), b"\x09\x09" + bytes(8) + b"\x03" + bytes(9)])
def test_data_that_are_no_record_are_refused(data):
    with pytest.raises(ValueUnfit):
        Program(DEFINED).record("Order", data, dict)


def test_a_length_is_never_trusted():
    """A few bytes that announce gigabytes, also of values that take none."""
    for kind in ({"vec": "u64"}, "bytes", "string", {"vec": {"array": ["u8", 0]}}):
        with pytest.raises(ValueUnfit):
            EMPTY.codec(kind).read(Reader(struct.pack("<I", 2**32 - 1)))


@pytest.mark.parametrize(
    "types",
    [
        [{"name": "A", "type": {"kind": "struct", "fields": [{"name": "a", "type": {"defined": {"name": "A"}}}]}}],
        [{"name": "A", "type": {"kind": "type", "alias": {"defined": {"name": "B"}}}}],
        [{"name": "A", "type": {"kind": "struct", "fields": ["u7"]}}],
        [{"name": "A", "type": {"kind": "struct", "fields": ["u8", {"name": "b", "type": "u8"}]}}],
        [{"name": "A", "type": {"kind": "struct", "fields": []}, "serialization": "bytemuck"}],
        [{"name": "A", "type": {"kind": "struct", "fields": []}, "generics": [{"kind": "type", "name": "T"}]}],
    ],
)
def test_an_idl_that_cannot_be_used_is_refused_at_once(types):
    with pytest.raises(IdlInvalid):
        Program(idl(types=types, accounts=[{"name": "A", "discriminator": [1]}]))


@pytest.mark.parametrize("data", [b"", b"{}", b"[" * 100_000, b'{"address": 1}', b"\xff"])
def test_what_is_no_idl_is_refused(data):
    with pytest.raises(IdlInvalid):
        read_idl(data)
    with pytest.raises(IdlInvalid, match="anchor idl convert"):
        read_idl(json.dumps({"address": KEY, "metadata": {"name": "x"}, "instructions": []}).encode())


RESOLVED = idl(
    instructions=[
        {
            "name": "take",
            "discriminator": [1, 2, 3, 4, 5, 6, 7, 8],
            "accounts": [
                {"name": "payer", "signer": True, "writable": True},
                {"name": "config", "pda": {"seeds": [{"kind": "const", "value": [99]}]}},
                {"name": "mint", "relations": ["config"]},
                {
                    "name": "burn",
                    "writable": True,
                    "pda": {
                        "seeds": [
                            {"kind": "account", "path": "config.count", "account": "Config"},
                            {"kind": "arg", "path": "id"},
                            {"kind": "account", "path": "payer"},
                            {"kind": "arg", "path": "name"},
                        ]
                    },
                },
                {"name": "system", "address": "11111111111111111111111111111111"},
                {"name": "extra", "optional": True},
                {"name": "group", "accounts": [{"name": "inner"}]},
            ],
            "args": [{"name": "id", "type": "u32"}, {"name": "name", "type": "string"}],
        }
    ],
    accounts=[{"name": "Config", "discriminator": [5]}],
    types=[
        {
            "name": "Config",
            "type": {
                "kind": "struct",
                "fields": [{"name": "mint", "type": "pubkey"}, {"name": "count", "type": "u64"}],
            },
        }
    ],
)


def test_accounts_are_found_by_seeds_relations_and_what_others_hold():
    from solders.pubkey import Pubkey

    program = Program(RESOLVED)
    config, _ = Pubkey.find_program_address([b"c"], program.address)
    record = program.encode_record("Config", {"mint": OTHER, "count": 7})
    made = program.begin("take", {"id": 1, "name": "ab"}, {"payer": OTHER, "group.inner": OTHER})
    assert next(made) == config
    with pytest.raises(StopIteration) as stopped:
        made.send(record)
    instruction = stopped.value.value
    seeds = [(7).to_bytes(8, "little"), (1).to_bytes(4, "little"), base58.b58decode(OTHER), b"ab"]
    burn, _ = Pubkey.find_program_address(seeds, program.address)
    assert [str(meta.pubkey) for meta in instruction.accounts] == [
        OTHER, str(config), OTHER, str(burn), "11111111111111111111111111111111", KEY, OTHER,
    ]  # fmt: skip
    assert [(meta.is_signer, meta.is_writable) for meta in instruction.accounts[:4]] == [
        (True, True), (False, False), (False, False), (False, True),
    ]  # fmt: skip
    assert instruction.data == bytes(range(1, 9)) + struct.pack("<II", 1, 2) + b"ab"


def test_accounts_that_cannot_be_found_or_are_not_taken_are_named():
    program = Program(RESOLVED)
    with pytest.raises(AccountsUnresolved, match="no account other"):
        program.instruction("take", {"id": 1, "name": ""}, {"other": OTHER})
    with pytest.raises(AccountsUnresolved, match="must be read"):
        program.instruction("take", {"id": 1, "name": ""}, {"payer": OTHER, "group.inner": OTHER})
    made = program.begin("take", {"id": 1, "name": ""}, {"payer": OTHER})
    next(made)
    with pytest.raises(AccountsUnresolved, match=r"not given: mint, burn, group\.inner"):
        made.send(None)
    made = program.begin("take", {"id": 1, "name": "x" * 33}, {"payer": OTHER, "config": KEY, "mint": KEY})
    next(made)
    with pytest.raises(ValueUnfit, match="33 bytes"):
        made.send(program.encode_record("Config", {"mint": OTHER, "count": 7}))
