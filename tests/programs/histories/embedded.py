"""The embedded room as a history's third world: the ledger and governance, by their own services, on a real
PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from typing import Any, Final, TypeVar
from unittest.mock import patch
from uuid import UUID

from hypernode.db.pool import Pool, create_pool
from hypernode.events.hints import Hints
from hypernode.governance.panels import Ballot
from hypernode.governance.proposals import Choice
from hypernode.governance.service import cases, proposals, stakes
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
from .state import FUNDS, OWNERS, PEOPLE, TREASURY

T = TypeVar("T")
NOBODYS = UUID(int=0)
"""What is asked for where a record on chain was never staked with: no stake."""
SHARED = {
    "staked": "staking", "stakers": "rewards", "bonded": "slashing", "treasury": "treasury", "incentive": "incentive",
    "vesting": "vesting", "operations": "operations",
}  # fmt: skip
"""The ledger's accounts that are nobody's, and the vaults on chain that they are."""

TABLES = (
    "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')"
    " and not relispartition"
)
KEEP = f"""
do $$ declare name text; begin
    create schema founding;
    for name in {TABLES} loop
        execute format('create table founding.%1$I as table public.%1$I', name);
    end loop;
end $$
"""
"""Copy every table."""
PUT_BACK = f"""
do $$ declare name text; begin
    -- Most of it is history, which triggers do not let anybody change.
    perform set_config('session_replication_role', 'replica', true);
    for name in {TABLES} loop
        execute format('delete from public.%1$I', name);
        execute format('insert into public.%1$I overriding system value table founding.%1$I', name);
    end loop;
end $$
"""
"""Make every table what its copy is."""
SHOW = """
select (select json_agg(x) from (select kind, project_id, balance from account) x) as accounts,
       (select to_json(x) from (
            select staked, weight, accumulator, held, distributed, paid, cycles, (select count(*) from burn) as burns
            from governance, vesting) x) as sums,
       (select json_agg(x) from stake x) as stakes,
       (select json_agg(x order by id) from proposal x) as proposals,
       (select json_agg(x order by id) from slashing_case x) as cases
"""
"""All there is, in one answer, since every step asks for it."""


class Founding:
    """What all histories begin with: a database with people who have money and a node each, and vesting begun.

    `ahead` is how much later the room's clock is than the chain's. The room's time is the database's and never goes
    back, and a node must have been there before a report; so that of the histories begins a day after the database's.
    Nothing compares a time of one with a time of the other.

    A new database for each history would take longer than the history. So there is one, in which every table is put
    back as it was found. Ids are counted instead of drawn, and the hash that acts go on from is always the same, so
    that a history repeated goes the same way, panels and all.
    """

    def __init__(self, dsn: str) -> None:
        self._runner = asyncio.Runner()
        self._ids = count(1)
        self._patches = ExitStack()
        for service in (cases, proposals, stakes):
            self._patches.enter_context(patch.object(service, "uuid7", lambda: UUID(int=next(self._ids))))
        self.pool = self.run(create_pool(dsn, min_size=1, max_size=1))
        start = unix(self.run(self.pool.fetchval("select clock_timestamp()"))) + 86_400
        self.ahead = timedelta(seconds=start - START)
        self.people: Final = tuple(self.run(self._found(moment(start))))
        self.run(self.pool.execute(KEEP))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    def again(self) -> None:
        """Begin anew."""
        self._ids = count(1)
        self.run(self.pool.execute(PUT_BACK))

    def close(self) -> None:
        self._patches.close()
        self.run(self.pool.close())
        self._runner.close()

    async def _found(self, start: datetime) -> list[UUID]:
        ledger, room = rooms(self.pool, lambda _: start)
        tenancy = Tenancy(self.pool)
        people = [await tenancy.create_project(f"person-{number}") for number in range(PEOPLE)]
        for person in people:
            await ledger.deposit(person, FUNDS)
            insert = "insert into node (key, project_id, name) values ($1, $2, 'n')"
            await self.pool.execute(insert, str(person), person)
        issuance, treasury = AccountKind.ISSUANCE, AccountKind.TREASURY
        await post(self.pool, ledger, people, lambda: [ledger.move(issuance, treasury, TREASURY, Cause.DEPOSIT)])
        await room.supply.begin_vesting()
        await self.pool.execute("update governance set head = sha256('histories')")
        return people


def rooms(pool: Pool, clock: Callable[[datetime], datetime]) -> tuple[Ledger, Governance]:
    """Ledger and governance over a database."""
    ledger, hints = Ledger(pool), Hints()
    nodes = Nodes(pool, hints, KeyPair.generate())
    return ledger, Governance(pool, ledger, Tenancy(pool), nodes, hints, clock=clock)


@dataclass(frozen=True)
class Shown:
    """What is in the room: balances by the model's names, escrows by client; records by their columns, of a stake the
    latest in its record's place with what all of them earned and claimed."""

    balances: dict[str, int]
    sums: dict[str, int]
    stakes: dict[int, dict[str, Any]]
    proposals: list[dict[str, Any]]
    cases: list[dict[str, Any]]


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
        self._pool, self.run = founding.pool, founding.run
        founding.again()
        self._ledger, self._room = rooms(self._pool, self._clock)
        self.escrows = Escrows(self._pool, self._ledger, self.people, self.run)

    def adds_up(self) -> None:
        """The whole ledger, transfer by transfer."""
        summary = self.run(self._ledger.summary())
        assert summary.total == 0
        assert summary.consistent
        supply = self.run(self._room.supply.view())
        assert supply.supply == sum(supply.balances.values()) == supply.issued - supply.burned

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
    def show(self) -> Shown:
        """All there is."""
        row = self.run(self._pool.fetchrow(SHOW))
        numbers = {str(project): number for number, project in enumerate(self.people)}
        names = {"available": "person", "escrow": "escrow"}
        balances = {
            SHARED.get(each["kind"], each["kind"]) if each["project_id"] is None
            else f"{names[each['kind']]} {numbers[each['project_id']]}": each["balance"]
            for each in row["accounts"]
        }  # fmt: skip
        rows = {UUID(each["id"]): each for each in row["stakes"] or []}
        latest = {
            number: rows[own[-1]] | {name: sum(rows[one][name] for one in own) for name in ("earned", "claimed")}
            for number, own in self.stakes.items() if own
        }  # fmt: skip
        assert len(rows) == sum(map(len, self.stakes.values()))
        shown = Shown(balances, row["sums"], latest, row["proposals"] or [], row["cases"] or [])
        assert [UUID(each["id"]) for each in shown.proposals] == self.proposals
        assert [UUID(each["id"]) for each in shown.cases] == self.cases
        return shown
