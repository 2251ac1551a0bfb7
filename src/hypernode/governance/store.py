"""Governance's statements, and how its records lie in rows. No other room reads or writes its tables."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import msgspec

from hypernode.db.pool import Connection
from hypernode.db.sql import load_sql
from hypernode.governance import proposals, slashing
from hypernode.governance.panels import Seat
from hypernode.governance.parameters import Parameters, SlashingRules, VotingRules, restored, values
from hypernode.governance.proposals import Proposal
from hypernode.governance.rewards import Pool
from hypernode.governance.slashing import Case
from hypernode.governance.staking import Stake, StakeState
from hypernode.governance.unlocks import Unlock, Vesting
from hypernode.kernel.errors import InvariantViolated, NotFound
from hypernode.kernel.times import moment, moment_or_none, unix, unix_or_none

queries: Final = load_sql(__package__)


class State(msgspec.Struct, frozen=True, kw_only=True):
    """The row that every act locks. `at` is the time of the last one, as the database had it."""

    height: int
    head: bytes
    at: datetime
    bonded: int
    pool: Pool
    parameters: Parameters


async def lock(connection: Connection) -> tuple[State, datetime]:
    """The state of governance, held until the transaction ends; and the time once it is."""
    row = await connection.fetchrow(queries.lock_governance)
    if row is None:
        raise InvariantViolated("there is no row of governance")
    now: datetime = await connection.fetchval("select clock_timestamp()")
    state = State(
        height=row["height"],
        head=row["head"],
        at=row["at"],
        bonded=row["bonded"],
        pool=_pool(row),
        parameters=restored(row["parameters"]),
    )
    return state, now


async def read(connection: Connection) -> tuple[Pool, Parameters, int, datetime]:
    """Sums and parameters as they are, what the stakers' account holds, and the time."""
    row = await connection.fetchrow(queries.read_governance)
    if row is None:
        raise InvariantViolated("there is no row of governance")
    return _pool(row), restored(row["parameters"]), row["stakers"], row["at"]


async def write(connection: Connection, state: State) -> None:
    """Write the state at the end of an act. The database compares it with the ledger when it commits."""
    pool, defaults = state.pool, values(Parameters())
    differing = {name: value for name, value in values(state.parameters).items() if value != defaults[name]}
    await connection.execute(
        queries.write_governance,
        state.height,
        state.head,
        state.at,
        pool.staked,
        pool.weight,
        Decimal(pool.accumulator),
        pool.held,
        pool.distributed,
        pool.paid,
        state.bonded,
        differing,
    )


def _pool(row: Any) -> Pool:
    return Pool(
        staked=row["staked"],
        weight=row["weight"],
        accumulator=int(row["accumulator"]),
        held=row["held"],
        distributed=row["distributed"],
        paid=row["paid"],
    )


# ── stakes ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def put_stake(connection: Connection, stake: Stake) -> None:
    """Write a stake, new or changed."""
    await connection.execute(
        queries.put_stake,
        stake.id,
        stake.owner,
        stake.days,
        moment(stake.locked_at),
        stake.state.value,
        stake.amount,
        stake.weight,
        stake.weight_height,
        stake.previous_weight,
        stake.previous_height,
        stake.earned,
        Decimal(stake.snapshot),
        stake.claimed,
        stake.reports,
        moment_or_none(stake.free_at),
    )


async def find_stake(connection: Connection, stake_id: UUID, owner: UUID | None = None) -> Stake:
    """A stake; with an owner, only if it is theirs. Raises NotFound."""
    row = await connection.fetchrow(queries.find_stake, stake_id)
    if row is None or (owner is not None and row["owner"] != owner):
        raise NotFound(f"there is no stake {stake_id}" if owner is None else f"this project has no stake {stake_id}")
    return stake_of(row)


def stake_of(row: Any) -> Stake:
    """A stake from its row."""
    return Stake(
        id=row["id"],
        owner=row["owner"],
        days=row["days"],
        amount=row["amount"],
        weight=row["weight"],
        weight_height=row["weight_height"],
        previous_weight=row["previous_weight"],
        previous_height=row["previous_height"],
        earned=row["earned"],
        snapshot=int(row["snapshot"]),
        claimed=row["claimed"],
        state=StakeState(row["state"]),
        reports=row["reports"],
        locked_at=unix(row["locked_at"]),
        free_at=unix_or_none(row["free_at"]),
    )


# ── proposals ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def put_proposal(connection: Connection, proposal: Proposal) -> None:
    """Write a proposal, new or changed."""
    due = {proposals.State.ACTIVE: proposal.vote_ends_at, proposals.State.QUEUED: proposal.executable_at}
    await connection.execute(
        queries.put_proposal,
        proposal.id,
        proposal.proposer,
        proposal.kind.value,
        proposal.title,
        proposal.payload,
        proposal.rules,
        moment(proposal.created_at),
        proposal.state.value,
        moment_or_none(proposal.activated_at),
        proposal.activated_height,
        proposal.total_weight,
        proposal.votes_for,
        proposal.votes_against,
        proposal.votes_abstain,
        moment_or_none(proposal.queued_at),
        moment_or_none(due.get(proposal.state)),
    )


def proposal_of(row: Any) -> Proposal:
    """A proposal from its row."""
    return Proposal(
        id=row["id"],
        proposer=row["proposer"],
        kind=proposals.Kind(row["kind"]),
        title=row["title"],
        payload=row["payload"],
        rules=msgspec.convert(row["rules"], VotingRules),
        created_at=unix(row["created_at"]),
        state=proposals.State(row["state"]),
        activated_at=unix_or_none(row["activated_at"]),
        activated_height=row["activated_height"],
        total_weight=row["total_weight"],
        votes_for=row["votes_for"],
        votes_against=row["votes_against"],
        votes_abstain=row["votes_abstain"],
        queued_at=unix_or_none(row["queued_at"]),
    )


async def find_proposal(connection: Connection, proposal_id: UUID) -> tuple[Proposal, str]:
    """A proposal, and the name of the project that made it. Raises NotFound."""
    row = await connection.fetchrow(queries.find_proposal, proposal_id)
    if row is None:
        raise NotFound(f"there is no proposal {proposal_id}")
    return proposal_of(row), row["proposer_name"]


# ── cases ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def put_case(connection: Connection, case: Case, now: int) -> None:
    """Write a case, new or changed."""
    due = case.next_at
    await connection.execute(
        queries.put_case,
        case.id,
        case.reporter,
        case.stake,
        case.accused,
        case.kind.value,
        bytes.fromhex(case.evidence),
        case.bps,
        case.rules,
        moment(case.reported_at),
        case.reported_height,
        case.bond,
        case.state.value,
        case.round,
        moment_or_none(case.drawn_at),
        case.drawn_height,
        bytes.fromhex(case.height_hash),
        moment_or_none(case.confirmed_at),
        case.panel,
        case.first,
        None if due is None else moment(due or now),
    )


async def find_case(connection: Connection, case_id: UUID) -> Case:
    """A case. Raises NotFound."""
    row = await connection.fetchrow(queries.find_case, case_id)
    if row is None:
        raise NotFound(f"there is no case {case_id}")
    return case_of(row)


def case_of(row: Any) -> Case:
    """A case from its row."""
    return Case(
        id=row["id"],
        reporter=row["reporter"],
        stake=row["stake_id"],
        accused=row["accused"],
        kind=slashing.Kind(row["kind"]),
        evidence=row["evidence"].hex(),
        bps=row["bps"],
        bond=row["bond"],
        rules=msgspec.convert(row["rules"], SlashingRules),
        reported_at=unix(row["reported_at"]),
        reported_height=row["reported_height"],
        state=slashing.State(row["state"]),
        round=row["round"],
        drawn_at=unix_or_none(row["drawn_at"]),
        drawn_height=row["drawn_height"],
        height_hash=row["height_hash"].hex(),
        confirmed_at=unix_or_none(row["confirmed_at"]),
        panel=msgspec.convert(row["panel"], tuple[Seat, ...]),
        first=msgspec.convert(row["first"], tuple[UUID, ...]),
    )


# ── supply ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def find_vesting(connection: Connection) -> Vesting | None:
    """What is still locked, if vesting has begun."""
    row = await connection.fetchrow(queries.find_vesting)
    return row and Vesting(unix(row["start_at"]), row["cycles"], row["left_amount"])


def unlock_of(row: Any) -> tuple[Unlock, datetime]:
    """An unlock from its row, and when it was."""
    return Unlock(row["cycle"], row["amount"], row["burned"], row["stakers"], row["operations"]), row["at"]
