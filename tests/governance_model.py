"""A naive model of governance: rewards are shared out by going through every stake, states are texts, refusals
codes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

HYPER = 1_000_000
DAY = 86_400
BPS = {"timeout": 100, "offline": 500, "repeated_failures": 1000, "invalid_result": 2500, "forgery": 5000}


class Refused(Exception):
    """What the room must refuse, by its code."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def require(condition: bool, code: str) -> None:
    if not condition:
        raise Refused(code)


@dataclass
class Stake:
    owner: int
    amount: int
    days: int
    born: int
    state: str = "active"
    reports: int = 0
    claimed: int = 0
    free_at: int = 0
    settled: int = 0
    """What was earned before the last change of weight."""
    parts: list[int] = field(default_factory=list)
    """Rewards per weight, scaled, of every distribution since."""
    weights: list[tuple[int, int]] = field(default_factory=list)
    """(act, weight from it on), oldest first."""

    @property
    def weight(self) -> int:
        return self.weights[-1][1] if self.weights else 0

    @property
    def earned(self) -> int:
        return self.settled + self.weight * sum(self.parts) // 10**12

    def reweigh(self, act: int) -> None:
        self.settled, self.parts = self.earned, []
        weight = self.amount * (365 + 3 * self.days) // 365 if self.state == "active" else 0
        self.weights.append((act, weight))

    def before(self, act: int) -> int:
        """As the room knows it: the last two weights only."""
        for began, weight in reversed([(0, 0), *self.weights][-2:]):
            if began < act:
                return weight
        return 0


@dataclass
class Proposal:
    proposer: int
    effect: Any
    act: int
    ends: int
    total: int
    quorum: int
    state: str = "active"
    votes: dict[str, int] = field(default_factory=lambda: {"for": 0, "against": 0, "abstain": 0})
    voted: set[int] = field(default_factory=set)
    queued: int = 0
    postponed: int = 0

    @property
    def due(self) -> float:
        """When duties look at it."""
        if self.state == "active":
            return self.ends
        return max(self.queued + DAY, self.postponed) if self.state == "queued" else float("inf")


@dataclass
class Case:
    reporter: int
    stake: int
    bps: int
    bond: int
    act: int
    state: str = "waiting"
    round: int = 1
    drawn_at: int = 0
    confirmed_at: int = 0
    panel: list[int] = field(default_factory=list)
    first: list[int] = field(default_factory=list)
    ballots: list[str | None] = field(default_factory=list)
    since: int = 0
    """When it came to where it is, if it can go on at once."""
    eligible: set[int] = field(default_factory=set)

    @property
    def due(self) -> float:
        """When duties look at it."""
        match self.state:
            case "waiting" | "upheld":
                return self.since
            case "voting":
                return self.drawn_at + 2 * DAY
            case "confirmed":
                return self.confirmed_at + 7 * DAY + 1
        return float("inf")

    def phase(self, now: int) -> str:
        if self.state != "voting":
            return ""
        return "commit" if now < self.drawn_at + DAY else "reveal" if now < self.drawn_at + 2 * DAY else "over"


class Model:
    """Everything, in one place."""

    def __init__(self, people: int, funds: int) -> None:
        self.now = 0
        self.act = 0
        self.available = [funds] * people
        kinds = ("staked", "stakers", "bonded", "treasury", "burned", "vesting", "operations", "incentive")
        self.balances = dict.fromkeys(kinds, 0)
        self.held = 0
        self.stakes: list[Stake] = []
        self.proposals: list[Proposal] = []
        self.cases: list[Case] = []
        self.vesting: list[int] = []
        """When vesting began, and how many cycles were unlocked."""
        self.parameters = {"staking.shortest_days": 14, "slashing.bond": 100 * HYPER, "voting.quorum_bps": 1000}

    def begin(self) -> int:
        self.act += 1
        return self.act

    def take(self, who: int, to: str, amount: int) -> None:
        require(self.available[who] >= amount, "ledger.insufficient_funds")
        self.available[who] -= amount
        self.balances[to] += amount

    def give(self, source: str, who: int, amount: int) -> None:
        self.balances[source] -= amount
        self.available[who] += amount

    # ── stakes ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def distribute(self) -> None:
        weight = sum(stake.weight for stake in self.stakes)
        reward = self.balances["stakers"] - self.held
        if weight and reward:
            self.held += reward
            for stake in self.stakes:
                stake.parts.append(reward * 10**12 // weight)

    def distribute_now(self) -> None:
        require(any(stake.weight for stake in self.stakes), "stake.none")
        self.distribute()
        self.begin()

    def earn(self, amount: int) -> None:
        self.balances["stakers"] += amount

    def open(self, who: int, amount: int, days: int) -> None:
        require(days >= self.parameters["staking.shortest_days"] and amount >= HYPER, "stake.refused")
        require(self.available[who] >= amount, "ledger.insufficient_funds")
        self.distribute()
        self.take(who, "staked", amount)
        stake = Stake(who, amount, days, self.begin())
        stake.reweigh(self.act)
        self.stakes.append(stake)

    def changeable(self, stake: Stake, state: str) -> None:
        require(stake.state == state, "stake.state")
        require(stake.reports == 0, "stake.frozen")

    def add(self, index: int, amount: int) -> None:
        stake = self.stakes[index]
        self.changeable(stake, "active")
        require(self.available[stake.owner] >= amount, "ledger.insufficient_funds")
        self.distribute()
        self.take(stake.owner, "staked", amount)
        stake.amount += amount
        stake.reweigh(self.begin())

    def unstake(self, index: int) -> None:
        stake = self.stakes[index]
        require(stake.state == "active", "stake.state")
        self.distribute()
        stake.state, stake.free_at = "unstaking", self.now + stake.days * DAY
        stake.reweigh(self.begin())

    def withdraw(self, index: int) -> None:
        stake = self.stakes[index]
        self.changeable(stake, "unstaking")
        require(self.now >= stake.free_at, "stake.cooling")
        self.begin()
        self.give("staked", stake.owner, stake.amount)
        stake.state, stake.amount = "withdrawn", 0

    def claim(self, index: int) -> None:
        stake = self.stakes[index]
        weight, reward = sum(one.weight for one in self.stakes), self.balances["stakers"] - self.held
        due = reward * 10**12 // weight if weight else 0
        whole = stake.settled + stake.weight * (sum(stake.parts) + due) // 10**12
        require(whole > stake.claimed, "reward.nothing")
        self.distribute()
        self.begin()
        amount = stake.earned - stake.claimed
        stake.claimed += amount
        self.held -= amount
        self.give("stakers", stake.owner, amount)

    # ── supply ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def burn(self, who: int, amount: int) -> None:
        self.take(who, "burned", amount)
        self.begin()

    def begin_vesting(self) -> None:
        self.begin()
        self.vesting = [self.now, 0]
        self.balances["vesting"] = 84_603_487 * HYPER

    def unlock(self) -> None:
        start, cycles = self.vesting
        require(cycles < 12 and self.now >= start + cycles * 30 * DAY, "unlock.not_due")
        self.begin()
        amount = 6_768_279 * HYPER if cycles == 0 else 7_075_928 * HYPER
        self.vesting[1] += 1
        self.balances["vesting"] -= amount
        self.balances["burned"] += amount * 20 // 100
        self.balances["stakers"] += amount * 30 // 100
        self.balances["operations"] += amount - amount * 20 // 100 - amount * 30 // 100

    # ── proposals ───────────────────────────────────────────────────────────────────────────────────────────────────

    def propose(self, who: int, effect: Any) -> None:
        weights = [stake.weight for stake in self.stakes if stake.owner == who and any(stake.weights[-1:])]
        known = [one for one in self.stakes if one.owner == who and (one.weight or one.before(one.weights[-1][0]))]
        require(bool(known), "not_found")
        require(max(weights, default=0) >= 1_000_000 * HYPER, "proposal.weight_too_low")
        total = sum(stake.weight for stake in self.stakes)
        quorum = self.parameters["voting.quorum_bps"]
        self.proposals.append(Proposal(who, effect, self.begin(), self.now + 3 * DAY, total, quorum))

    def vote(self, index: int, who: int, choice: str) -> None:
        proposal = self.proposals[index]
        require(proposal.state == "active", "proposal.state")
        require(self.now < proposal.ends, "governance.too_late")
        own = [
            (number, stake.before(proposal.act))
            for number, stake in enumerate(self.stakes)
            if stake.owner == who and stake.before(proposal.act)
        ]
        require(bool(own), "proposal.no_weight")
        left = [(number, weight) for number, weight in own if number not in proposal.voted]
        require(bool(left), "proposal.voted")
        self.begin()
        for number, weight in left:
            proposal.votes[choice] += weight
            proposal.voted.add(number)

    def cancel(self, index: int) -> None:
        proposal = self.proposals[index]
        require(proposal.state == "active", "proposal.state")
        require(self.now < proposal.ends, "governance.too_late")
        self.begin()
        proposal.state = "cancelled"

    def finalize(self, index: int) -> None:
        proposal = self.proposals[index]
        if proposal.state == "queued":
            require(self.now >= proposal.queued + 14 * DAY, "governance.too_early")
            proposal.state = "expired"
            self.begin()
            return
        require(proposal.state == "active", "proposal.state")
        require(self.now >= proposal.ends, "governance.too_early")
        self.begin()
        enough = sum(proposal.votes.values()) * 10_000 >= proposal.total * proposal.quorum
        if enough and proposal.votes["for"] > proposal.votes["against"]:
            proposal.state, proposal.queued = "queued", self.now
        else:
            proposal.state = "defeated"

    def execute(self, index: int) -> None:
        proposal = self.proposals[index]
        require(proposal.state == "queued", "proposal.state")
        require(self.now >= proposal.queued + DAY, "governance.too_early")
        require(self.now < proposal.queued + 14 * DAY, "governance.too_late")
        if isinstance(proposal.effect, tuple):
            creditor, amount = proposal.effect
            require(self.balances["treasury"] >= amount, "fund.too_small")
            self.give("treasury", creditor, amount)
        elif proposal.effect:
            self.parameters |= proposal.effect
        self.begin()
        proposal.state = "executed"

    # ── cases ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def report(self, who: int, index: int, kind: str) -> None:
        stake = self.stakes[index]
        require(stake.state == "active" or (self.now < stake.free_at and stake.state == "unstaking"), "stake.state")
        bond = self.parameters["slashing.bond"]
        self.take(who, "bonded", bond)
        stake.reports += 1
        self.cases.append(Case(who, index, BPS[kind], bond, self.begin(), since=self.now))

    def validators(self, case: Case) -> set[int]:
        """Who may be drawn."""
        barred = {case.reporter, self.stakes[case.stake].owner, *case.first}
        return {
            stake.owner
            for stake in self.stakes
            if stake.state == "active"
            and stake.amount >= 10_000 * HYPER
            and stake.weights[-1][0] < case.act
            and stake.owner not in barred
        }

    def drawn(self, index: int, panel: list[int]) -> None:
        """The room's panel: as many of those who may judge as there are seats."""
        case = self.cases[index]
        may = case.eligible
        assert set(panel) <= may and len(set(panel)) == len(panel) == min(len(may), 10 if case.round == 1 else 7)
        case.panel = panel

    def advance(self, index: int) -> None:
        case = self.cases[index]
        match case.state:
            case "waiting":
                case.eligible = self.validators(case)
                case.state, case.drawn_at, case.ballots = "voting", self.now, []
            case "voting":
                require(case.phase(self.now) == "over", "governance.too_early")
                self.close(case)
            case "confirmed" | "upheld":
                early = case.state == "confirmed" and self.now <= case.confirmed_at + 7 * DAY
                require(not early, "governance.too_early")
                self.slash(case)
            case _:
                raise Refused("case.state")
        self.begin()

    def close(self, case: Case) -> None:
        yes, no = case.ballots.count("for"), case.ballots.count("against")
        if case.round == 1 and yes >= 3 and yes > no:
            case.state, case.confirmed_at, case.first = "confirmed", self.now, case.panel
        elif case.round == 2 and (yes + no < 3 or yes > no):
            case.state, case.since = "upheld", self.now
        else:
            case.state = "dismissed" if case.round == 1 else "overturned"
            self.stakes[case.stake].reports -= 1
            self.balances["bonded"] -= case.bond
            self.balances["treasury"] += case.bond

    def slash(self, case: Case) -> None:
        stake = self.stakes[case.stake]
        self.distribute()
        amount = stake.amount * case.bps // 10_000
        stake.amount -= amount
        stake.reports -= 1
        stake.reweigh(self.act + 1)
        reward, burned = amount // 10, amount // 2
        self.give("staked", case.reporter, reward)
        self.balances["staked"] -= amount - reward
        self.balances["burned"] += burned
        self.balances["treasury"] += amount - reward - burned
        self.give("bonded", case.reporter, case.bond)
        case.state = "executed"

    def appeal(self, index: int) -> None:
        case = self.cases[index]
        require(case.state == "confirmed", "case.state")
        require(self.now <= case.confirmed_at + 7 * DAY, "governance.too_late")
        self.begin()
        case.state, case.round, case.panel, case.since = "waiting", 2, [], self.now

    # ── duties ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def keep(self) -> set[int]:
        """What the coordinator's duties do: everything that is due, each one step, oldest first. Returns the cases."""
        ready = [(one.due, index) for index, one in enumerate(self.proposals) if one.due <= self.now]
        cases = [(one.due, index) for index, one in enumerate(self.cases) if one.due <= self.now]
        for _, index in sorted(ready):
            proposal = self.proposals[index]
            if proposal.state == "active" or self.now >= proposal.queued + 14 * DAY:
                self.finalize(index)
                continue
            try:
                self.execute(index)
            except Refused:
                proposal.postponed = self.now + 3600
        for _, index in sorted(cases):
            self.advance(index)
        if self.vesting and self.vesting[1] < 12 and self.now >= self.vesting[0] + self.vesting[1] * 30 * DAY:
            self.unlock()
        return {index for _, index in cases}
