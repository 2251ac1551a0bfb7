"""Which files of a job's output folder were declared. Node and coordinator ask the same code, so they agree."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hypernode.jobs.model import check_path

_INSIDE = "/"  # no name contains it: stands for "and whatever is inside", where `**` would ask for a folder


class Patterns:
    """Declared outputs: relative paths or globs, `*` and `?` within a name, `**` across folders.

    What names a folder also takes what is in it. Matching is linear in the name, whatever the pattern: regular
    expressions would let a submitter spend other people's CPU.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        """Raises ValueError for what is not a path below the output folder."""
        self._patterns = [(pattern, _split(pattern)) for pattern in patterns]

    def match(self, path: str) -> bool:
        """Whether one of them takes this relative path."""
        names = path.split("/")
        return any(_match(parts, names) for _, parts in self._patterns)

    def missing(self, paths: Iterable[str]) -> list[str]:
        """Those without wildcards that none of these paths is, or lies in: they were promised by name."""
        present = [path.split("/") for path in paths]
        return [
            pattern
            for pattern, parts in self._patterns
            if not is_pattern(pattern) and not any(_match(parts, names) for names in present)
        ]


def is_pattern(output: str) -> bool:
    """Whether a declared output is a pattern (which may match nothing) rather than a name (which must be there)."""
    return "*" in output or "?" in output


def _split(pattern: str) -> list[str]:
    check_path(pattern)
    parts = pattern.split("/")
    return parts if parts[-1] == "**" else [*parts, _INSIDE]


def _match(parts: Sequence[str], names: Sequence[str]) -> bool:
    """Which prefixes of the names each part of the pattern can have reached; bounded by parts × names."""
    reached = {0}
    for part in parts:
        if part in ("**", _INSIDE):
            reached = set(range(min(reached), len(names) + 1)) if reached else set()
        else:
            reached = {i + 1 for i in reached if i < len(names) and _match_name(part, names[i])}
    # "**" at the end stands for at least one name: it cannot match the root itself, but names are never empty.
    return len(names) in reached


def _match_name(pattern: str, name: str) -> bool:
    """Glob one name: on a mismatch only the last `*` grows, which is enough, and quadratic at worst."""
    at = seen = 0
    star = resume = -1
    while seen < len(name):
        if at < len(pattern) and pattern[at] == "*":
            star, resume = at, seen
            at += 1
        elif at < len(pattern) and pattern[at] in ("?", name[seen]):
            at += 1
            seen += 1
        elif star >= 0:
            at = star + 1
            resume += 1
            seen = resume
        else:
            return False
    return all(c == "*" for c in pattern[at:])
