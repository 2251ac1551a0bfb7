"""Why a rule says no."""

from __future__ import annotations


class Refusal(Exception):
    """A rule refuses what was asked; `name` is that of the programs' error, and nothing has changed."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def require(condition: bool, name: str) -> None:
    """Raise Refusal unless the condition holds."""
    if not condition:
        raise Refusal(name)
