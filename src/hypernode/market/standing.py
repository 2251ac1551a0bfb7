"""What the network has measured of a node. Benchmarks, reputation, tiers and energy come with what measures them."""

from __future__ import annotations

from typing import Final

PRIOR_LOSSES: Final = 1.0
PRIOR_HELD_S: Final = 7 * 24 * 3600.0
"""What is assumed of a node before anything is known: one loss in a week of holding. A node's own record outweighs it
as it grows."""


def loss_rate(losses: int, held_s: float) -> float:
    """How often a node loses what it holds, per second: the mean of a gamma distribution after `losses` in `held_s`
    seconds of holding anything (the conjugate prior of a Poisson process: Gelman et al., "Bayesian Data Analysis",
    section 2.6)."""
    return (PRIOR_LOSSES + losses) / (PRIOR_HELD_S + held_s)
