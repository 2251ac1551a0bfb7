"""The garbage collector of a process that serves: what it costs there, and how it is spared."""

from __future__ import annotations

import gc
from typing import Final

COLLECT_AFTER: Final = 20_000
"""Containers allocated and not freed between two looks for cycles: some MB."""


def spare_the_collector() -> None:
    """Look for cycles less often, and not among what was loaded at start, which is for ever: under load each young
    collection would find nothing and promote thousands of jobs on their way, which the old ones then walk through
    again and again (a third of the coordinator's time and a fifth of a node agent's, measured). Called once, by a
    process that has started."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 20, 20)
