"""Declared outputs: what they take, and what must be there."""

from __future__ import annotations

import fnmatch
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypernode.jobs.outputs import Patterns


@pytest.mark.parametrize(
    ("pattern", "taken", "left"),
    [
        ("result.csv", ["result.csv"], ["result.csv2", "a/result.csv", "resultXcsv"]),
        ("plots", ["plots", "plots/a", "plots/b/c"], ["plots2/a"]),
        ("plots/*.png", ["plots/a.png", "plots/.png"], ["plots/a/b.png", "plots/a.jpg", "a.png"]),
        ("*.csv", ["a.csv"], ["a/b.csv"]),
        ("**", ["a", "a/b/c"], []),
        ("**/*.csv", ["a.csv", "a/b/c.csv"], ["a.txt"]),
        ("a/**/z", ["a/z", "a/b/z", "a/b/c/z"], ["z", "a/b"]),
        ("a/**", ["a/b", "a/b/c"], ["b/a"]),
        ("?.txt", ["a.txt"], ["ab.txt", ".txt"]),
        ("[a].txt", ["[a].txt"], ["a.txt"]),
    ],
)
def test_patterns(pattern: str, taken: list[str], left: list[str]) -> None:
    patterns = Patterns([pattern])
    assert [path for path in taken if not patterns.match(path)] == []
    assert [path for path in left if patterns.match(path)] == []


@pytest.mark.parametrize("pattern", ["", "/etc/passwd", "../x", "a/../b", "a//b", "./a", "a/", "x" * 2000, "a/./b"])
def test_patterns_that_leave_the_folder_are_refused(pattern: str) -> None:
    with pytest.raises(ValueError):
        Patterns([pattern])


def test_no_pattern_takes_long() -> None:
    patterns = Patterns(["*a" * 100 + "b", "**/" * 100 + "b"])
    started = time.monotonic()
    assert not patterns.match("/".join(["a" * 255] * 3))
    assert time.monotonic() - started < 1


@given(st.text(alphabet="ab*?", min_size=1, max_size=12), st.text(alphabet="ab", min_size=1, max_size=12))
def test_one_name_matches_as_fnmatch_says(pattern: str, name: str) -> None:
    if pattern != "**":
        assert Patterns([pattern]).match(name) == fnmatch.fnmatchcase(name, pattern)


def test_what_is_named_must_be_there() -> None:
    declared = Patterns(["result.csv", "plots", "*.log", "a/b.txt"])
    assert declared.missing([]) == ["result.csv", "plots", "a/b.txt"]
    assert declared.missing(["result.csv", "plots/one.png", "a/b.txt"]) == []
    assert declared.missing(["plots.png", "result.csv/x", "b.txt"]) == ["plots", "a/b.txt"]
