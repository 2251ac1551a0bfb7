"""The canonical form is RFC 8785's, whichever way it was written."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from hypernode.kernel.canonical import canonical
from hypernode.kernel.errors import InvalidInput

LARGEST = 2**53 - 1
texts = st.text(max_size=12) | st.text(alphabet=[chr(code) for code in range(0x80)], max_size=12)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-LARGEST, LARGEST)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=12
)


@given(values)
@example({"\ue000": 1, "\U00010000": 2, "é": 3})
@example({"a": '\x00\x08\t\n\x0b\x0c\r\x1f\x7f"\\/\u2028'})
@example([1.0, -0.0, 1e21, 0, -1, LARGEST, -LARGEST])
@example({"b": 1, "a": {"d": [True, None], "c": "x"}})
def test_it_is_what_rfc_8785_says(value: Any) -> None:
    assert canonical(value) == rfc8785.dumps(value)


class Inner(msgspec.Struct, frozen=True):
    zeta: str
    alpha: int | None
    mapping: dict[str, str]


class Outer(msgspec.Struct, frozen=True, tag_field="type", tag="outer"):
    z: tuple[Inner, ...]
    a: bool
    m: dict[str, Inner]


integers = st.integers(-LARGEST, LARGEST)
inners = st.builds(Inner, texts, st.none() | integers, st.dictionaries(texts, texts, max_size=4))


@given(
    st.builds(Outer, st.lists(inners, max_size=3).map(tuple), st.booleans(), st.dictionaries(texts, inners, max_size=3))
)
@example(Outer((Inner('\x00\x08\t\n\x0b\x0c\r\x1f\x7f"\\/', LARGEST, {"~": "", "}": "", "A": "", "a": ""}),), True, {}))
@example(Outer((Inner("", 999_999_999_999_999, {"\ue000": "", "\U00010000": "", "é": ""}),), False, {}))
def test_structs_take_the_fast_way_to_the_same_bytes(value: Outer) -> None:
    assert canonical(value) == rfc8785.dumps(msgspec.to_builtins(value))


def test_a_struct_cannot_smuggle_what_is_refused() -> None:
    with pytest.raises(InvalidInput):
        canonical(Inner("", LARGEST + 1, {}))
    with pytest.raises(InvalidInput):
        canonical(Inner("\ud800", 0, {}))


class WithFloat(msgspec.Struct, frozen=True):
    x: float | None
    inner: dict[str, list[float]]


def test_a_struct_with_floats_takes_the_long_way() -> None:
    assert canonical(WithFloat(1.0, {"a": [1e21]})) == b'{"inner":{"a":[1e+21]},"x":1}'
    with pytest.raises(InvalidInput):
        canonical(WithFloat(float("nan"), {}))


@pytest.mark.parametrize("value", [2**53, [-(2**53)], {"a": 2**64}, {"a": {"b": [2**53]}}, float("nan"), float("inf")])
def test_what_it_cannot_say_exactly_is_refused(value: Any) -> None:
    with pytest.raises(InvalidInput):
        canonical(value)


def test_lone_surrogates_are_refused() -> None:
    with pytest.raises(InvalidInput):
        canonical({"a": "\ud800"})
