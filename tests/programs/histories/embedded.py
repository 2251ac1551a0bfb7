"""The embedded room as a history's third world: the ledger and governance, by their own services, on a real
PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from hypernode.governance.panels import Ballot
from hypernode.governance.proposals import Choice
from hypernode.governance.slashing import Kind as Offence
from hypernode.governance.views.cases import CaseRequest, CaseView
from hypernode.governance.views.proposals import ProposalRequest
from hypernode.kernel.errors import HypernodeError, NothingToClaim
from hypernode.kernel.times import moment
from hypernode.ledger.model import AccountKind, Cause

from .effects import Effect
from .escrows import Escrows, post
from .founding import AHEAD, Founding, rooms
from .state import OWNERS

NOBODYS = UUID(int=0)
"""What is asked for where a record on chain was never staked with: no stake."""
SHARED = {
    "staked": "staking", "stakers": "rewards", "bonded": "slashing", "treasury": "treasury", "incentive": "incentive",
    "vesting": "vesting", "operations": "operations",
}  # fmt: skip
"""The ledger's accounts that are nobody's, and the vaults on chain that they are."""
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
        self._now = now
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
        return moment(self._now() + self.later) + AHEAD

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
