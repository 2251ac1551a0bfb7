"""The embedded room as a history's third world: the ledger and governance, by their own services, on a real
PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from conftest import temporary_database
from hypernode.db.pool import Pool, create_pool
from hypernode.events.hints import Hints
from hypernode.governance.panels import Ballot
from hypernode.governance.proposals import Choice
from hypernode.governance.service.governance import Governance
from hypernode.governance.slashing import Kind as Offence
from hypernode.governance.views.cases import CaseRequest, CaseView
from hypernode.governance.views.proposals import ProposalRequest
from hypernode.kernel.errors import HypernodeError, NothingToClaim
from hypernode.kernel.keys import KeyPair
from hypernode.kernel.times import moment, unix
from hypernode.ledger.model import AccountKind, Cause
from hypernode.ledger.service import Ledger
from hypernode.nodes.service import Nodes
from hypernode.tenancy.service import Tenancy
from programs.world import START

from .effects import Effect
from .escrows import Escrows, post
from .state import FUNDS, OWNERS, PEOPLE

T = TypeVar("T")
NOBODYS = UUID(int=0)
"""What is asked for where a record on chain was never staked with: no stake."""
SHARED = {
    "staked": "staking", "stakers": "rewards", "bonded": "slashing", "treasury": "treasury", "incentive": "incentive",
    "vesting": "vesting", "operations": "operations",
}  # fmt: skip
"""The ledger's accounts that are nobody's, and the vaults on chain that they are."""


@dataclass(frozen=True)
class Founding:
    """What all histories begin with: a database to be copied, with people who have money and a node each.

    `ahead` is how much later the room's clock is than the chain's. The room's time is the database's and never goes
    back, and a node must have been there before a report; so that of the histories begins a day after the database's.
    Nothing compares a time of one with a time of the other.
    """

    dsn: str
    name: str
    people: tuple[UUID, ...]
    ahead: timedelta


@contextmanager
def founding(postgres_dsn: str, migrated_template: str) -> Iterator[Founding]:
    """Make it, for as long as the block lasts. Vesting begins with the histories."""
    with temporary_database(postgres_dsn, migrated_template) as dsn:
        found = asyncio.run(_found(dsn))
        yield Founding(postgres_dsn, dsn.partition("?")[0].rpartition("/")[2], *found)


async def _found(dsn: str) -> tuple[tuple[UUID, ...], timedelta]:
    pool = await create_pool(dsn, min_size=1, max_size=1)
    try:
        start = unix(await pool.fetchval("select clock_timestamp()")) + 86_400
        ledger, room = _room(pool, lambda _: moment(start))
        tenancy = Tenancy(pool)
        people = [await tenancy.create_project(f"person-{number}") for number in range(PEOPLE)]
        for person in people:
            await ledger.deposit(person, FUNDS)
            insert = "insert into node (key, project_id, name) values ($1, $2, 'n')"
            await pool.execute(insert, str(person), person)
        await room.supply.begin_vesting()
        return tuple(people), timedelta(seconds=start - START)
    finally:
        await pool.close()


def _room(pool: Pool, clock: Callable[[datetime], datetime]) -> tuple[Ledger, Governance]:
    ledger, hints = Ledger(pool), Hints()
    return ledger, Governance(pool, ledger, Tenancy(pool), Nodes(pool, hints, KeyPair.generate()), hints, clock=clock)


class Embedded:
    """One history in the room. Stakes are named by the number of their record on chain, people by theirs.

    A record on chain is used again once it was withdrawn; the room opens another stake. So a record is all stakes that
    were opened in its place, of which only the latest can have weight: what it earned and what was claimed are their
    sums, and a claim is a claim of each.
    """

    def __init__(self, founding: Founding, now: Callable[[], int]) -> None:
        """`now` is the chain's time."""
        self.people = founding.people
        self.stakes: dict[int, list[UUID]] = {number: [] for number in range(len(OWNERS))}
        self.cases: list[UUID] = []
        self.proposals: list[UUID] = []
        self.later = 0
        """Seconds that the room is further than the chain just now."""
        self._now, self._ahead = now, founding.ahead
        self._runner = asyncio.Runner()
        self._database = temporary_database(founding.dsn, founding.name)
        dsn = self._database.__enter__()
        self._pool = self.run(create_pool(dsn, min_size=1, max_size=1))
        self._ledger, self._room = _room(self._pool, self._clock)
        self.escrows = Escrows(self._pool, self._ledger, self.people, self.run)

    def close(self) -> None:
        """Check that the ledger adds up, and forget it all."""
        try:
            summary = self.run(self._ledger.summary())
            assert summary.total == 0
            assert summary.consistent
            supply = self.run(self._room.supply.view())
            assert supply.supply == sum(supply.balances.values()) == supply.issued - supply.burned
        finally:
            self.run(self._pool.close())
            self._runner.close()
            self._database.__exit__(None, None, None)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    def refusal(self, act: Callable[[Embedded], object]) -> str | None:
        """Do something; the code of the error if it is refused."""
        try:
            act(self)
        except HypernodeError as error:
            return error.code
        return None

    def _clock(self, _: datetime) -> datetime:
        return moment(self._now() + self.later) + self._ahead

    def owner(self, stake: int) -> UUID:
        return self.people[OWNERS[stake]]

    def current(self, stake: int) -> UUID:
        """The latest stake in the place of a record."""
        return self.stakes[stake][-1] if self.stakes[stake] else NOBODYS

    # --- stakes, rewards, supply ----------------------------------------------------------------------------------
    def stake(self, stake: int, amount: int, days: int) -> None:
        view = self.run(self._room.stakes.open(self.owner(stake), amount, days))
        self.stakes[stake].append(UUID(view.id))

    def add(self, stake: int, amount: int) -> None:
        self.run(self._room.stakes.add(self.owner(stake), self.current(stake), amount))

    def unstake(self, stake: int) -> None:
        self.run(self._room.stakes.unstake(self.owner(stake), self.current(stake)))

    def withdraw(self, stake: int) -> None:
        self.run(self._room.stakes.withdraw(self.owner(stake), self.current(stake)))

    def claim(self, stake: int) -> None:
        """Claim what each stake in the record's place earned. Refused if that is nothing for all of them."""
        paid, nothing = False, None
        for one in self.stakes[stake] or [NOBODYS]:
            try:
                view = self.run(self._room.stakes.claim(self.owner(stake), one))
                assert view.claimable == 0
                paid = True
            except NothingToClaim as error:
                nothing = error
        if nothing is not None and not paid:
            raise nothing

    def reward(self, person: int, amount: int) -> None:
        """Somebody gives stakers money: the room has no act for that, so it is the ledger's bare transfer."""
        move = self._ledger.move
        available, stakers = AccountKind.AVAILABLE, AccountKind.STAKERS
        debtor = self.people[person]
        if amount:
            self.run(
                post(self._pool, self._ledger, self.people,
                     lambda: [move(available, stakers, amount, Cause.FEE_STAKERS, debtor=debtor)])
            )  # fmt: skip

    def distribute(self) -> None:
        self.run(self._room.stakes.distribute())

    def unlock(self) -> None:
        self.run(self._room.supply.unlock())

    def burn(self, person: int, amount: int) -> None:
        self.run(self._room.supply.burn(self.people[person], amount, "history"))

    # --- proposals ------------------------------------------------------------------------------------------------
    def propose(self, stake: int, effect: Effect, *, draft: bool) -> None:
        request = ProposalRequest(
            kind=effect.kind, title="A proposal", payload=effect.payload(self.people), stake=self.current(stake),
            draft=draft,
        )  # fmt: skip
        view = self.run(self._room.proposals.propose(self.owner(stake), request))
        self.proposals.append(UUID(view.id))

    def activate(self, proposal: int, proposer: int) -> None:
        self.run(self._room.proposals.activate(self.owner(proposer), self.proposals[proposal]))

    def cancel(self, proposal: int, proposer: int) -> None:
        self.run(self._room.proposals.cancel(self.owner(proposer), self.proposals[proposal]))

    def vote(self, proposal: int, stake: int, choice: str) -> None:
        choice_, own = Choice(choice.lower()), self.current(stake)
        self.run(self._room.proposals.vote(self.owner(stake), self.proposals[proposal], choice_, own))

    def vote_with_all(self, proposal: int, person: int, choice: str) -> None:
        """Vote with every stake of a person that can."""
        self.run(self._room.proposals.vote(self.people[person], self.proposals[proposal], Choice(choice.lower())))

    def finalize(self, proposal: int) -> None:
        self.run(self._room.proposals.finalize(self.proposals[proposal]))

    def execute(self, proposal: int) -> None:
        self.run(self._room.proposals.execute(self.proposals[proposal]))
        self.run(self._room.refresh())

    # --- cases ----------------------------------------------------------------------------------------------------
    def report(self, reporter: int, accused: int, kind: str, evidence: bytes) -> None:
        offence = next(each for each in Offence if each.name.replace("_", "") == kind.upper())
        request = CaseRequest(kind=offence, evidence=evidence.hex(), stake=self.current(accused))
        view = self.run(self._room.cases.report(self.owner(reporter), request))
        self.cases.append(UUID(view.id))

    def advance(self, case: int) -> None:
        """Draw, close or execute: whatever comes next."""
        self.run(self._room.cases.advance(self.cases[case]))

    def draw(self, case: int, after_s: int) -> CaseView:
        """Draw as it will be done so many seconds later."""
        self.later = after_s
        try:
            return self.run(self._room.cases.advance(self.cases[case]))
        finally:
            self.later = 0

    def commit(self, case: int, person: int, commitment: bytes) -> None:
        self.run(self._room.cases.commit(self.people[person], self.cases[case], commitment.hex()))

    def reveal(self, case: int, person: int, vote: bool, salt: bytes) -> None:
        ballot = Ballot.FOR if vote else Ballot.AGAINST
        self.run(self._room.cases.reveal(self.people[person], self.cases[case], ballot, salt))

    def appeal(self, case: int, accused: int) -> None:
        self.run(self._room.cases.appeal(self.owner(accused), self.cases[case]))

    def keep(self) -> None:
        """The coordinator's duties: what anyone may do by now is done."""
        self.run(self._room.keep())

    # --- what there is --------------------------------------------------------------------------------------------
    def balances(self) -> dict[str, int]:
        """By the model's names; what is burned among them. Escrows of all clients lie together on chain."""
        rows = self.run(self._pool.fetch("select kind, project_id, balance from account"))
        shared = {row["kind"]: row["balance"] for row in rows if row["project_id"] is None}
        own = {row["project_id"]: row["balance"] for row in rows if row["kind"] == "available"}
        balances = {name: shared[kind] for kind, name in SHARED.items()}
        balances |= {f"person {number}": own[project] for number, project in enumerate(self.people)}
        held = {row["project_id"]: row["balance"] for row in rows if row["kind"] == "escrow"}
        balances |= {f"escrow {number}": held[project] for number, project in enumerate(self.people)}
        return balances | {"burned": shared["burned"]}

    def pool(self) -> dict[str, int]:
        """Sums of stakes and rewards."""
        row = self.run(
            self._pool.fetchrow(
                "select staked, weight, accumulator, held, distributed, paid,"
                " (select count(*) from burn) as burns, (select cycles from vesting) as cycles from governance"
            )
        )
        return {name: int(value) for name, value in row.items()}

    def records(self) -> dict[int, dict[str, Any]]:
        """Of each record that was ever staked with: its latest stake, with what all in its place earned together."""
        rows = {row["id"]: row for row in self.run(self._pool.fetch("select * from stake"))}
        found = {}
        for number, own in self.stakes.items():
            if own:
                sums = {name: sum(rows[one][name] for one in own) for name in ("earned", "claimed")}
                found[number] = dict(rows[own[-1]]) | sums
        assert len(rows) == sum(map(len, self.stakes.values()))
        return found

    def proposal_records(self) -> list[dict[str, Any]]:
        """Every proposal, in the order they were made."""
        rows = {row["id"]: dict(row) for row in self.run(self._pool.fetch("select * from proposal"))}
        assert len(rows) == len(self.proposals)
        return [rows[one] for one in self.proposals]

    def case_records(self) -> list[dict[str, Any]]:
        """Every case, in the order they were made."""
        rows = {row["id"]: dict(row) for row in self.run(self._pool.fetch("select * from slashing_case"))}
        assert len(rows) == len(self.cases)
        return [rows[one] for one in self.cases]
