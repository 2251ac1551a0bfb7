"""What stakers earn: one accumulator grows with each distribution, and every stake's earnings follow from it and the
stake's own record. No cost depends on how many stakes there are.

`accumulator += reward · SCALE // weight`, and a stake of weight w has earned `w · (accumulator − snapshot) // SCALE`
since its snapshot was taken. What flooring leaves stays in the pool.
"""

from __future__ import annotations

from typing import Final

import msgspec

from hypernode.kernel.errors import InvariantViolated

SCALE: Final = 10**12
"""What the accumulator is scaled by."""


class Pool(msgspec.Struct, frozen=True, kw_only=True):
    """The sums of all stakes and rewards, in µHYPER (and µHYPER of weight)."""

    staked: int = 0
    weight: int = 0
    accumulator: int = 0
    held: int = 0
    """What was distributed and not yet claimed, with what flooring left."""
    distributed: int = 0
    paid: int = 0


def distribute(pool: Pool, balance: int) -> Pool:
    """Share out what has come in: what the stakers' account holds beyond what was distributed before. Without any
    weight it is held back for the next time, and so is what flooring leaves: else whoever distributes often enough,
    a little at a time, would leave nothing to anybody. Raises InvariantViolated if the account holds less than it
    owes."""
    reward = balance - pool.held
    if reward < 0:
        raise InvariantViolated(f"stakers are owed {pool.held} µHYPER, and there are {balance}")
    if reward == 0 or pool.weight == 0:
        return pool
    grown = reward * SCALE // pool.weight
    shared = -(-grown * pool.weight // SCALE)
    return msgspec.structs.replace(
        pool,
        accumulator=pool.accumulator + grown,
        held=pool.held + shared,
        distributed=pool.distributed + shared,
    )


def earned_since(pool: Pool, weight: int, snapshot: int) -> int:
    """What a weight has earned since a snapshot of the accumulator, in µHYPER."""
    return weight * (pool.accumulator - snapshot) // SCALE


def pay(pool: Pool, amount: int) -> Pool:
    """The pool after a claim was paid."""
    return msgspec.structs.replace(pool, held=pool.held - amount, paid=pool.paid + amount)
