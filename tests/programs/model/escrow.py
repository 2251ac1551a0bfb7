"""The rules of a job on chain, pure: what `programs/markets` does with its escrow."""

from __future__ import annotations

from enum import StrEnum

import msgspec
from msgspec.structs import replace

from programs.model.refusal import require
from programs.model.staking import Stake, StakeState, room_of
from programs.network import TERMS as ROUND_TERMS

TERMS = ROUND_TERMS | {"rate": 2_003, "fixed": 10_007}
"""So that every part of a price has a remainder."""
BOND_BPS = 500
ARBITRATION_S = 7 * 86_400


class JobState(StrEnum):
    QUEUED = "Queued"
    ASSIGNED = "Assigned"
    SUBMITTED = "Submitted"
    DISPUTED = "Disputed"
    CLOSED = "Closed"


class Split(msgspec.Struct, frozen=True):
    """Basis points of a price; the operator gets the remainder, and a royalty that has no author."""

    treasury: int = 1_000
    incentive: int = 400
    stakers: int = 100
    royalty: int = 500


class Job(msgspec.Struct, frozen=True):
    """A job, with the split of its day."""

    client: int
    deposit: int
    seconds: int
    opened_at: int
    split: Split
    state: JobState = JobState.QUEUED
    operator: int = -1
    assigned_at: int = 0
    submitted_at: int = 0
    disputed_at: int = 0
    used: int = 0
    """Seconds that the node says it worked."""
    price: int = 0
    paid: int = 0
    bond: int = 0

    @property
    def last_moment(self) -> int:
        return self.assigned_at + self.seconds + TERMS["grace_seconds"]


class Payment(msgspec.Struct, frozen=True):
    """µHYPER out of the vault, and what stays in it for others."""

    operator: int = 0
    treasury: int = 0
    incentive: int = 0
    stakers: int = 0
    client: int = 0


def price(seconds: int) -> int:
    return TERMS["rate"] * seconds + TERMS["fixed"]


def pay(job: Job, total: int) -> tuple[Job, Payment]:
    amount = total - job.paid
    split = job.split
    treasury, incentive, stakers = (amount * bps // 10_000 for bps in (split.treasury, split.incentive, split.stakers))
    operator = amount - treasury - incentive - stakers  # nobody's royalty is the operator's
    return replace(job, paid=total), Payment(operator, treasury, incentive, stakers)


def close(job: Job, payment: Payment | None = None) -> tuple[Job, Payment]:
    back = job.deposit - job.paid + job.bond
    return replace(job, state=JobState.CLOSED), replace(payment or Payment(), client=back)


def open_job(client: int, seconds: int, now: int, split: Split) -> Job:
    require(0 < seconds <= TERMS["longest_seconds"], "BadLength")
    return Job(client, price(seconds), seconds, now, split)


def cancel(job: Job, caller_is_client: bool, now: int) -> tuple[Job, Payment]:
    require(job.state == JobState.QUEUED, "WrongState")
    require(caller_is_client or now >= job.opened_at + TERMS["queue_seconds"], "TooEarly")
    return close(job)


def take(job: Job, operator: int, stake: Stake, seen_at: int, running: int, now: int) -> Job:
    require(job.state == JobState.QUEUED, "WrongState")
    require(now < job.opened_at + TERMS["queue_seconds"], "TooLate")
    require(now - seen_at <= TERMS["fresh_seconds"], "NodeSilent")
    require(stake.state == StakeState.ACTIVE, "StakeNotActive")
    require(stake.weight >= TERMS["least_weight"], "WeightTooLow")
    room = room_of(stake.amount)
    require(room is None or running < room, "NoRoom")
    return replace(job, state=JobState.ASSIGNED, operator=operator, assigned_at=now)


def submit(job: Job, seconds: int, now: int) -> Job:
    require(job.state == JobState.ASSIGNED, "WrongState")
    require(now <= job.last_moment, "TooLate")
    require(seconds <= job.seconds and seconds <= now - job.assigned_at, "TooManySeconds")
    owed = max(price(seconds), job.paid)
    return replace(job, state=JobState.SUBMITTED, submitted_at=now, used=seconds, price=owed)


def redeem(job: Job, cumulative: int) -> tuple[Job, Payment]:
    require(cumulative > job.paid, "VoucherTooLow")
    require(cumulative <= job.deposit, "VoucherTooHigh")
    if job.state != JobState.ASSIGNED:
        job = replace(job, price=max(job.price, cumulative))
    return pay(job, cumulative)


def settle(job: Job, caller_is_client: bool, now: int) -> tuple[Job, Payment]:
    require(job.state in (JobState.SUBMITTED, JobState.DISPUTED), "WrongState")
    if job.state == JobState.SUBMITTED:
        require(caller_is_client or now > job.submitted_at + TERMS["dispute_seconds"], "TooEarly")
    else:
        require(now > job.disputed_at + ARBITRATION_S, "TooEarly")
    return close(*pay(job, job.price))


def refund(job: Job, now: int) -> tuple[Job, Payment]:
    require(job.state == JobState.ASSIGNED, "WrongState")
    require(now > job.last_moment, "TooEarly")
    return close(job)


def give_back(job: Job) -> Job:
    require(job.state == JobState.ASSIGNED, "WrongState")
    require(job.paid == 0, "PartlyPaid")
    return replace(job, state=JobState.QUEUED, operator=-1, assigned_at=0)


def dispute(job: Job, now: int) -> Job:
    require(job.state == JobState.SUBMITTED, "WrongState")
    require(now <= job.submitted_at + TERMS["dispute_seconds"], "TooLate")
    return replace(job, state=JobState.DISPUTED, disputed_at=now, bond=job.price * BOND_BPS // 10_000)


def resolve(job: Job, for_node: bool) -> tuple[Job, Payment]:
    require(job.state == JobState.DISPUTED, "WrongState")
    if not for_node:
        return close(job)
    job, payment = pay(job, job.price)
    bond = job.bond
    job, payment = close(replace(job, bond=0), payment)
    return job, replace(payment, operator=payment.operator + bond)
