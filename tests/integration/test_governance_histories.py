"""Random histories through the room on a real PostgreSQL, beside a naive model of it. After each step both have said
the same, and every balance is equal."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from conftest import temporary_database
from governance_model import DAY, HYPER, Model, Refused
from hypernode.db.pool import create_pool
from hypernode.events.hints import Hints
from hypernode.governance import panels
from hypernode.governance.panels import Ballot
from hypernode.governance.proposals import Choice, Kind
from hypernode.governance.service.governance import Governance
from hypernode.governance.slashing import Kind as Offence
from hypernode.governance.views.cases import CaseRequest, CaseView
from hypernode.governance.views.proposals import ProposalRequest
from hypernode.kernel.errors import HypernodeError
from hypernode.kernel.keys import KeyPair
from hypernode.ledger.model import AccountKind, Cause
from hypernode.ledger.service import Ledger, post
from hypernode.nodes.service import Nodes
from hypernode.tenancy.service import Tenancy

PEOPLE = 9
FUNDS = 3_000_000 * HYPER
AMOUNTS = st.sampled_from([1, HYPER - 1, HYPER, 100 * HYPER, 10_000 * HYPER, 12_345_678_901, 1_000_000 * HYPER])
DAYS = st.sampled_from([14, 14, 30, 90, 365])
JUMPS = st.sampled_from([1, 3_601, DAY, DAY, 3 * DAY, 7 * DAY + 1, 14 * DAY, 30 * DAY])
WHO = st.integers(0, PEOPLE - 1)
ANY = st.integers(0, 99)
VOTES = st.lists(st.sampled_from(["for", "for", "for", "against", None]), min_size=10, max_size=10)
SALT = b"\7" * 32
CHANGES = (
    {"market.stakers_bps": 300},
    {"staking.shortest_days": 20, "slashing.bond": 7 * HYPER},
    {"voting.quorum_bps": 200},
)


class Histories(RuleBasedStateMachine):
    """Every rule does one thing in the room and in the model."""

    dsn: str

    @initialize(hyper=st.lists(st.sampled_from([10_000, 20_000, 300_000]), min_size=PEOPLE, max_size=PEOPLE))
    def begin(self, hyper: list[int]) -> None:
        self.runner = asyncio.Runner()
        self.offset = timedelta(days=1)
        self.run(self._begin())
        self.model = Model(PEOPLE, FUNDS)
        for who, amount in enumerate(hyper):
            if amount:
                self.open(who, amount * HYPER, 365)

    async def _begin(self) -> None:
        self.pool = await create_pool(self.dsn, min_size=1, max_size=2)
        self.ledger, tenancy = Ledger(self.pool), Tenancy(self.pool)
        nodes = Nodes(self.pool, Hints(), KeyPair.generate())
        self.room = Governance(self.pool, self.ledger, tenancy, nodes, Hints(), clock=self.clock)
        self.people = [await tenancy.create_project(f"person-{number}") for number in range(PEOPLE)]
        for person in self.people:
            await self.ledger.deposit(person, FUNDS)
            insert = "insert into node (key, project_id, name) values ($1, $2, 'n')"
            await self.pool.execute(insert, str(person), person)
        self.stakes: list[str] = []
        self.cases: list[str] = []
        self.proposals: list[str] = []

    def clock(self, at: datetime) -> datetime:
        # Times stand still between jumps, so that the model's are the same to the second.
        if not hasattr(self, "start"):
            self.start = at.replace(microsecond=0)
        return self.start + self.offset

    def teardown(self) -> None:
        if hasattr(self, "pool"):
            self.run(self.pool.close())
            self.runner.close()

    def run(self, work: Any) -> Any:
        return self.runner.run(work)

    def both(self, work: Any, expect: Callable[[], Any]) -> Any:
        """Do it in both. Either both do it, or both refuse it with the same code. Returns what the room answered."""
        refused = said = answer = None
        try:
            expect()
        except Refused as error:
            refused = error.code
        try:
            answer = self.run(work)
        except HypernodeError as error:
            said = error.code
        assert said == refused
        return answer

    # ── stakes ──────────────────────────────────────────────────────────────────────────────────────────────────────

    @rule(who=WHO, amount=AMOUNTS, days=DAYS)
    def open(self, who: int, amount: int, days: int) -> None:
        work = self.room.stakes.open(self.people[who], amount, days)
        made = self.both(work, lambda: self.model.open(who, amount, days))
        if made is not None:
            self.stakes.append(made.id)
            assert made.weight == self.model.stakes[-1].weight

    def stake(self, which: int) -> tuple[int, UUID, UUID] | None:
        if not self.stakes:
            return None
        index = which % len(self.stakes)
        return index, self.people[self.model.stakes[index].owner], UUID(self.stakes[index])

    @rule(which=ANY, amount=AMOUNTS)
    def add(self, which: int, amount: int) -> None:
        if found := self.stake(which):
            index, owner, stake = found
            self.both(self.room.stakes.add(owner, stake, amount), lambda: self.model.add(index, amount))

    @rule(which=ANY)
    def unstake(self, which: int) -> None:
        if found := self.stake(which):
            index, owner, stake = found
            self.both(self.room.stakes.unstake(owner, stake), lambda: self.model.unstake(index))

    @rule(which=ANY)
    def withdraw(self, which: int) -> None:
        if found := self.stake(which):
            index, owner, stake = found
            self.both(self.room.stakes.withdraw(owner, stake), lambda: self.model.withdraw(index))

    @rule(which=ANY)
    def claim(self, which: int) -> None:
        if found := self.stake(which):
            index, owner, stake = found
            view = self.both(self.room.stakes.claim(owner, stake), lambda: self.model.claim(index))
            assert view is None or (view.claimable, view.claimed) == (0, self.model.stakes[index].claimed)

    @rule(amount=AMOUNTS)
    def earn(self, amount: int) -> None:
        """Stakers get a part of somebody's price."""
        self.run(self._pay(amount))
        self.model.earn(amount)

    async def _pay(self, amount: int) -> None:
        async with self.pool.acquire() as connection:
            await self.ledger.know(connection, [])
            moves = (AccountKind.ISSUANCE, AccountKind.STAKERS, amount, Cause.FEE_STAKERS)
            await post(connection, [self.ledger.move(*moves)])

    @rule()
    def distribute(self) -> None:
        self.both(self.room.stakes.distribute(), self.model.distribute_now)

    # ── time and supply ─────────────────────────────────────────────────────────────────────────────────────────────

    @rule(seconds=JUMPS)
    def wait(self, seconds: int) -> None:
        self.offset += timedelta(seconds=seconds)
        self.model.now += seconds

    @rule(who=WHO, amount=AMOUNTS)
    def burn(self, who: int, amount: int) -> None:
        made = self.both(self.room.supply.burn(self.people[who], amount, "test"), lambda: self.model.burn(who, amount))
        assert made is None or made.cumulative == self.model.balances["burned"]

    @rule()
    def unlock(self) -> None:
        if not self.model.vesting:
            self.run(self.room.supply.begin_vesting())
            self.model.begin_vesting()
        else:
            self.both(self.room.supply.unlock(), self.model.unlock)

    # ── proposals ───────────────────────────────────────────────────────────────────────────────────────────────────

    @rule(who=WHO, what=st.sampled_from([None, 0, 1, 2, "spend"]), amount=AMOUNTS)
    def propose(self, who: int, what: Any, amount: int) -> None:
        if what is None:
            kind, payload = Kind.TEXT, None
        elif what == "spend":
            payload = {"project_id": str(self.people[-1]), "amount": amount}
            kind = Kind.TREASURY_SPEND
        else:
            kind = Kind.STAKING_PARAMETER if what else Kind.MARKET_PARAMETER
            payload = {"parameters": CHANGES[what]}
        request = ProposalRequest(kind=kind, title="a proposal", payload=payload)
        effect = (PEOPLE - 1, amount) if what == "spend" else None if what is None else CHANGES[what]
        made = self.both(
            self.room.proposals.propose(self.people[who], request), lambda: self.model.propose(who, effect)
        )
        if made is not None:
            self.proposals.append(made.id)

    def proposal(self, which: int) -> tuple[int, UUID] | None:
        return (
            (which % len(self.proposals), UUID(self.proposals[which % len(self.proposals)])) if self.proposals else None
        )

    @rule(which=ANY, who=WHO, choice=st.sampled_from(["for", "for", "for", "against", "abstain"]))
    def vote(self, which: int, who: int, choice: str) -> None:
        if found := self.proposal(which):
            index, proposal = found
            work = self.room.proposals.vote(self.people[who], proposal, Choice(choice))
            self.both(work, lambda: self.model.vote(index, who, choice))

    @rule(which=ANY, act=st.sampled_from(["finalize", "finalize", "execute", "execute", "cancel"]))
    def bring_about(self, which: int, act: str) -> None:
        if not (found := self.proposal(which)):
            return
        index, proposal = found
        if act == "cancel":
            proposer = self.people[self.model.proposals[index].proposer]
            self.both(self.room.proposals.cancel(proposer, proposal), lambda: self.model.cancel(index))
        else:
            work = getattr(self.room.proposals, act)(proposal)
            self.both(work, lambda: getattr(self.model, act)(index))

    # ── cases ───────────────────────────────────────────────────────────────────────────────────────────────────────

    @rule(who=WHO, which=ANY, kind=st.sampled_from(list(Offence)))
    def report(self, who: int, which: int, kind: Offence) -> None:
        if not (found := self.stake(which)):
            return
        index, _, stake = found
        request = CaseRequest(kind=kind, evidence=hashlib.sha256(b"x").hexdigest(), stake=stake)
        made = self.both(self.room.cases.report(self.people[who], request), lambda: self.model.report(who, index, kind))
        if made is not None:
            self.cases.append(made.id)

    def case(self, which: int) -> tuple[int, UUID] | None:
        return (which % len(self.cases), UUID(self.cases[which % len(self.cases)])) if self.cases else None

    @rule(which=ANY)
    def advance(self, which: int) -> None:
        if found := self.case(which):
            index, case = found
            view = self.both(self.room.cases.advance(case), lambda: self.model.advance(index))
            if view is not None and view.state == "voting":
                self.model.drawn(index, [self.people.index(UUID(seat.project_id)) for seat in view.panel])
                self._drawn_as_anyone_would(view)

    @rule(which=ANY, votes=VOTES)
    def judge(self, which: int, votes: list[str | None]) -> None:
        """A whole round, as its panel votes."""
        if not (found := self.case(which)) or self.model.cases[found[0]].phase(self.model.now) != "commit":
            return
        index, case = found
        model = self.model.cases[index]
        cast = [(judge, vote) for judge, vote in zip(model.panel, votes, strict=False) if vote]
        for judge, vote in cast:
            voter = self.people[judge]
            hidden = panels.commitment(Ballot(vote), SALT, case.bytes, model.round, voter.bytes)
            self.run(self.room.cases.commit(voter, case, hidden))
        self.wait(DAY)
        for judge, vote in cast:
            self.run(self.room.cases.reveal(self.people[judge], case, Ballot(vote), SALT))
        model.ballots = [vote for _, vote in cast]
        self.wait(DAY)

    @rule(which=ANY)
    def appeal(self, which: int) -> None:
        if found := self.case(which):
            index, case = found
            accused = self.people[self.model.stakes[self.model.cases[index].stake].owner]
            self.both(self.room.cases.appeal(accused, case), lambda: self.model.appeal(index))

    def _drawn_as_anyone_would(self, view: CaseView) -> None:
        seed = panels.seed_of(UUID(view.id).bytes, bytes.fromhex(view.height_hash), view.round)
        stakes = {(self.people[self.model.stakes[index].owner], UUID(stake)) for index, stake in enumerate(self.stakes)}
        for seat in view.panel:
            own = [panels.ticket_of(seed, stake.bytes) for owner, stake in stakes if str(owner) == seat.project_id]
            assert int(seat.ticket) in own
        assert [int(seat.ticket) for seat in view.panel] == sorted(int(seat.ticket) for seat in view.panel)

    # ── whole ways, which single steps seldom go ────────────────────────────────────────────────────────────────────

    @rule(
        who=WHO,
        what=st.sampled_from([0, 1, 2, "spend"]),
        amount=AMOUNTS,
        against=st.none() | WHO,
        by_duty=st.booleans(),
    )
    def campaign(self, who: int, what: Any, amount: int, against: int | None, by_duty: bool) -> None:
        """A proposal that most vote for, to its end."""
        before = len(self.proposals)
        self.propose(who, what, amount)
        if len(self.proposals) == before:
            return
        for voter in range(PEOPLE):
            self.vote(before, voter, "against" if voter == against else "for")
        for seconds, act in ((3 * DAY, "finalize"), (DAY, "execute")):
            self.wait(seconds)
            self.keep() if by_duty else self.bring_about(before, act)

    @rule(
        who=WHO,
        which=ANY,
        kind=st.sampled_from(list(Offence)),
        rounds=st.lists(VOTES, min_size=1, max_size=2),
        by_duty=st.booleans(),
    )
    def trial(self, who: int, which: int, kind: Offence, rounds: list[list[str | None]], by_duty: bool) -> None:
        """A report, judged once or twice, to its end."""
        case = len(self.cases)
        self.report(who, which, kind)
        if len(self.cases) == case:
            return
        for votes in rounds:
            self.keep() if by_duty else self.advance(case)
            self.judge(case, votes)
            self.keep() if by_duty else self.advance(case)
            if votes is not rounds[-1]:
                self.appeal(case)
        self.wait(7 * DAY + 1)
        self.keep() if by_duty else self.advance(case)

    # ── duties and what holds always ────────────────────────────────────────────────────────────────────────────────

    @rule()
    def keep(self) -> None:
        """The coordinator's duties do what anyone may do, and nothing else."""
        due = self.model.keep()
        self.run(self.room.keep())
        for index, case in enumerate(self.cases):
            view = self.run(self.room.cases.view(self.people[0], UUID(case)))
            if index in due and view.state == "voting":
                self.model.drawn(index, [self.people.index(UUID(seat.project_id)) for seat in view.panel])

    @invariant()
    def everything_is_equal(self) -> None:
        if not hasattr(self, "model"):
            return
        self.run(self._compare())

    async def _compare(self) -> None:
        summary = await self.ledger.summary()
        assert summary.total == 0 and summary.consistent
        rows = await self.pool.fetch("select kind, project_id, balance from account where kind <> 'escrow'")
        found = {row["kind"]: row["balance"] for row in rows if row["project_id"] is None}
        assert {name: found[name] for name in self.model.balances} == self.model.balances
        available = {row["project_id"]: row["balance"] for row in rows if row["project_id"] is not None}
        assert [available[person] for person in self.people] == self.model.available
        supply = await self.room.supply.view()
        assert supply.supply == sum(supply.balances.values()) == supply.issued - supply.burned
        states = {str(row["id"]): row["state"] for row in await self.pool.fetch("select id, state from proposal")}
        assert [states[one] for one in self.proposals] == [one.state for one in self.model.proposals]
        states = {str(row["id"]): row["state"] for row in await self.pool.fetch("select id, state from slashing_case")}
        assert [states[one] for one in self.cases] == [one.state for one in self.model.cases]
        for index, one in enumerate(self.model.stakes):
            row = await self.pool.fetchrow("select * from stake where id = $1", UUID(self.stakes[index]))
            assert (row["state"], row["amount"], row["weight"], row["reports"], row["claimed"]) == (
                one.state, one.amount, one.weight, one.reports, one.claimed,
            )  # fmt: skip


@pytest.mark.timeout(600)
def test_histories(postgres_dsn: str, migrated_template: str) -> None:
    with temporary_database(postgres_dsn, migrated_template) as template:
        name = template.partition("?")[0].rpartition("/")[2]

        class Machine(Histories):
            def __init__(self) -> None:
                super().__init__()
                self.database = temporary_database(postgres_dsn, name)
                self.dsn = self.database.__enter__()

            def teardown(self) -> None:
                super().teardown()
                self.database.__exit__(None, None, None)

        run_state_machine_as_test(
            Machine,
            settings=settings(
                max_examples=20,
                stateful_step_count=40,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
