"""One model, several implementations: random histories through the rules of `hypernode.governance.model` and through
the programs in the real runtime. After each step both have said the same, and every balance is equal.

HISTORIES sets how many are run; 1000 take a few minutes.
"""

from __future__ import annotations

import copy
import os
import struct
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from solders.hash import Hash
from solders.token import ID as TOKEN

from hypernode.governance.model import proposals, rewards, slashing, staking, unlock
from hypernode.governance.model.refusal import Refusal, require

from . import escrow_model as escrow
from .coder import idl
from .network import ALL, Job, Network, Operator
from .world import DAY, HYPER, START, Refused, World

PEOPLE = 9
FUNDS = 3_000_000 * HYPER
AMOUNTS = st.sampled_from(
    [1, HYPER - 1, HYPER, 99 * HYPER, 100 * HYPER, 1_000 * HYPER, 10_000 * HYPER, 2_000_000 * HYPER]
)
DAYS = st.sampled_from([13, 14, 14, 30, 90, 180, 365, 366])
JUMPS = st.sampled_from([1, 1, 60, 301, 3_601, DAY, 3 * DAY, 7 * DAY + 1, 14 * DAY, 30 * DAY, 91 * DAY])
WHO = st.integers(0, 99)
ANY = st.integers(0, 99)
HISTORIES = int(os.environ.get("HISTORIES", "40"))
ENDINGS = {
    "cancel": ("QUEUED",), "refund": ("ASSIGNED",), "dispute": ("SUBMITTED",), "settle": ("SUBMITTED", "DISPUTED"),
    "resolve for": ("DISPUTED",), "resolve against": ("DISPUTED",),
}  # fmt: skip
"""What ends a job, and the states in which it may."""
VAULTS = {
    "staking": "staking_vault", "rewards": "rewards_vault", "slashing": "slashing.vault", "treasury": "treasury",
    "incentive": "incentive", "collection": "collection", "market": "markets.vault", "vesting": "token.vault",
    "operations": "operations",
}  # fmt: skip


class State:
    """The model's whole world: balances by name, and the records of every rule."""

    def __init__(self) -> None:
        self.balances: dict[str, int] = dict.fromkeys(VAULTS, 0) | {f"person {n}": FUNDS for n in range(PEOPLE)}
        self.balances["vesting"] = unlock.LOCKED
        self.burned = 0
        self.pool = staking.Pool()
        self.stakes = [staking.Stake() for _ in range(PEOPLE)]
        self.rewards = rewards.Rewards()
        self.claimed = [0] * PEOPLE
        self.seen_at = [START] * PEOPLE
        self.running = [0] * PEOPLE
        self.cases: list[slashing.Case] = []
        self.accused: list[int] = []
        self.proposals: list[proposals.Proposal] = []
        self.voted: set[tuple[int, int]] = set()
        self.jobs: list[escrow.Job] = []
        self.due = {"treasury": 0, "incentive": 0, "stakers": 0}
        self.cycles = 0

    def move(self, source: str, to: str, amount: int) -> None:
        require(self.balances[source] >= amount, "InsufficientFunds")
        self.balances[source] -= amount
        self.balances[to] += amount

    def distributed(self) -> None:
        waiting = self.balances["rewards"] - self.rewards.held
        require(self.pool.weight == 0 or waiting == 0, "Undistributed")

    def pay(self, job: escrow.Job, payment: escrow.Payment) -> None:
        if payment.operator:
            self.move("market", f"person {job.operator}", payment.operator)
        self.move("market", f"person {job.client}", payment.client)
        for name in self.due:
            self.due[name] += getattr(payment, name)
        if job.state == escrow.JobState.CLOSED and job.operator >= 0:
            self.running[job.operator] -= 1


class Histories(RuleBasedStateMachine):
    """Every rule of this machine does one thing in the model and on chain."""

    @initialize(
        hyper=st.lists(st.sampled_from([0, 100, 10_000, 10_000, 10_000, 1_000_000]), min_size=PEOPLE, max_size=PEOPLE)
    )
    def begin(self, hyper: list[int]) -> None:
        self.state = State()
        self.network = Network(ALL)
        self.world = world = self.network.world
        self.operators: list[Operator] = []
        for _ in range(PEOPLE):
            owner, key = world.person(), world.person()
            tokens = world.tokens(owner.pubkey(), FUNDS)
            payer = {"payer": world.payer.pubkey()}
            world.send("staking", "open", world.payer, owner=owner.pubkey(), id=0, **payer)
            stake = world.address("staking", "stake", owner.pubkey(), 0)
            world.send("nodes", "register", owner, key, owner=owner.pubkey(), key=key.pubkey(), capability=bytes(32))
            world.send("markets", "open_capacity", world.payer, stake=stake, **payer)
            world.send("rewards", "register", world.payer, stake=stake, **payer)
            node, capacity = (
                world.address("nodes", "node", key.pubkey()),
                world.address("markets", "capacity", stake),
            )
            self.operators.append(Operator(owner, key, tokens, stake, node, capacity))
        self.network.market()
        self.jobs: list[Job] = []
        self.cases: list[Any] = []
        self.proposals: list[Any] = []
        self.registered = world.slot
        for number, amount in enumerate(hyper):
            if amount:
                self.stake(number, amount * HYPER, 90)
        world.wait(1)

    # --- both at once ---------------------------------------------------------------------------------------------
    def both(self, model: Callable[[State], object], chain: Callable[[], object]) -> bool:
        """Do it in the model and on chain; they must say the same. Returns whether it was done."""
        trial = copy.copy(self.state)
        trial.__dict__ = {name: copy.copy(value) for name, value in self.state.__dict__.items()}
        expected = actual = None
        try:
            model(trial)
        except Refusal as refusal:
            expected = refusal.name
        try:
            chain()
        except Refused as refused:
            actual = _name(self.world, refused)
        assert expected == actual, f"the model says {expected or 'yes'}, the chain {actual or 'yes'}"
        if expected is None:
            self.state = trial
        return expected is None

    def likely(self, who: int, suitable: Callable[[staking.Stake], bool]) -> int:
        """Mostly somebody whose stake suits, so that histories go deep; now and then somebody else."""
        those = [index for index, each in enumerate(self.state.stakes) if suitable(each)]
        return those[who % len(those)] if those and who % 5 else who % PEOPLE

    @property
    def now(self) -> int:
        return self.world.time

    @property
    def height(self) -> int:
        return self.world.slot

    @rule(seconds=JUMPS)
    def jump(self, seconds: int) -> None:
        self.world.wait(seconds)

    # --- staking and rewards --------------------------------------------------------------------------------------
    @rule(who=WHO, amount=AMOUNTS, days=DAYS)
    def stake(self, who: int, amount: int, days: int) -> None:
        who = self.likely(who, lambda each: each.state == staking.StakeState.WITHDRAWN)

        def model(state: State) -> None:
            state.pool, state.stakes[who] = staking.stake_tokens(
                state.pool,
                state.stakes[who],
                staking.Parameters(),
                amount,
                days,
                state.rewards.accumulator,
                self.height,
            )
            self.state.distributed()
            state.move(f"person {who}", "staking", amount)

        each = self.operators[who]
        self.both(model, lambda: self.network.stake(each.owner, each.tokens, amount, days))

    @rule(who=WHO, amount=AMOUNTS)
    def add(self, who: int, amount: int) -> None:
        who = self.likely(who, lambda each: each.state == staking.StakeState.ACTIVE)

        def model(state: State) -> None:
            state.pool, state.stakes[who] = staking.add_tokens(
                state.pool, state.stakes[who], amount, state.rewards.accumulator, self.height
            )
            self.state.distributed()
            state.move(f"person {who}", "staking", amount)

        each = self.operators[who]
        self.both(model,
            lambda: self.world.send(
                "staking", "add", each.owner, owner=each.owner.pubkey(), stake=each.stake, source=each.tokens,
                amount=amount,
            ),
        )  # fmt: skip

    @rule(who=WHO)
    def unstake(self, who: int) -> None:
        who = self.likely(who, lambda each: each.state == staking.StakeState.ACTIVE)

        def model(state: State) -> None:
            state.pool, state.stakes[who] = staking.unstake(
                state.pool, state.stakes[who], self.now, state.rewards.accumulator, self.height
            )

        each = self.operators[who]
        self.both(model, lambda: self.network.unstake(each.owner, each.stake))

    @rule(who=WHO)
    def withdraw(self, who: int) -> None:
        who = self.likely(who, lambda each: each.state == staking.StakeState.UNSTAKING)

        def model(state: State) -> None:
            state.pool, state.stakes[who], amount = staking.withdraw(state.pool, state.stakes[who], self.now)
            state.move("staking", f"person {who}", amount)

        each = self.operators[who]
        self.both(model, lambda: self.network.withdraw(each.owner, each.stake, each.tokens))

    @rule(who=WHO, amount=st.sampled_from([0, 1, 3, 999_999_999_937, 12_345 * HYPER]))
    def reward(self, who: int, amount: int) -> None:
        """Somebody sends tokens to the pool; they are distributed when the next one does."""
        who %= PEOPLE
        each = self.operators[who]
        if self.state.balances[f"person {who}"] >= amount:
            self.world.pay(each.tokens, each.owner, self.world.named["rewards_vault"], amount)
            self.state.move(f"person {who}", "rewards", amount)

    @rule()
    def distribute(self) -> None:
        def model(state: State) -> None:
            state.rewards = rewards.distribute(state.rewards, state.balances["rewards"], state.pool.weight)

        self.both(model, lambda: self.world.send("rewards", "distribute"))

    @rule(who=WHO)
    def claim(self, who: int) -> None:
        who = self.likely(who, lambda each: each.weight > 0)

        def model(state: State) -> None:
            state.rewards, amount = rewards.claim(state.rewards, state.stakes[who], state.claimed[who])
            state.claimed[who] += amount
            state.move("rewards", f"person {who}", amount)

        each = self.operators[who]
        self.both(model, lambda: self.network.claim(each.stake, each.tokens))

    # --- vesting and burns ----------------------------------------------------------------------------------------
    @precondition(lambda self: self.now >= START + (self.state.cycles + 1) * 30 * DAY or self.now % 7 == 0)
    @rule()
    def unlock(self) -> None:
        def model(state: State) -> None:
            due = unlock.unlock(state.cycles, START + 30 * DAY, self.now)
            state.cycles += 1
            state.move("vesting", "rewards", due.stakers)
            state.move("vesting", "operations", due.operations)
            state.balances["vesting"] -= due.burned
            state.burned += due.burned

        payer = self.world.payer
        cycle = self.state.cycles
        self.both(model,
            lambda: self.world.send("token", "unlock", payer, payer=payer.pubkey(), cycle=cycle),
        )  # fmt: skip

    @precondition(lambda self: self.state.balances["collection"] or self.now % 7 == 0)
    @rule()
    def burn_collection(self) -> None:
        def model(state: State) -> None:
            require(state.balances["collection"] > 0, "NothingToBurn")
            state.burned += state.balances["collection"]
            state.balances["collection"] = 0

        payer = self.world.payer
        self.both(model, lambda: self.world.send("token", "burn_collection", payer, payer=payer.pubkey()))

    # --- reports --------------------------------------------------------------------------------------------------
    @precondition(lambda self: len(self.cases) < 4)
    @rule(who=WHO, accused=WHO, kind=st.sampled_from(list(slashing.Kind)))
    def report(self, who: int, accused: int, kind: slashing.Kind) -> None:
        who = self.likely(who, lambda each: each.amount < 10_000 * HYPER)
        accused = self.likely(accused, lambda each: each.amount > 0)
        reporter, suspect = self.operators[who], self.operators[accused]
        number = len(self.cases)
        address = self.world.address("slashing", "case", reporter.owner.pubkey(), number)

        def model(state: State) -> None:
            state.move(f"person {who}", "slashing", 100 * HYPER)
            state.stakes[accused] = staking.freeze(state.stakes[accused])
            state.cases.append(
                slashing.Case(
                    bytes(address), bytes(reporter.owner.pubkey()), bytes(suspect.owner.pubkey()), kind,
                    slashing.Parameters(), 100 * HYPER, self.height,
                )
            )  # fmt: skip
            state.accused.append(accused)

        done = self.both(model,
            lambda: self.network.report(reporter.owner, reporter.tokens, suspect.stake, kind.value, number),
        )  # fmt: skip
        if done:
            self.cases.append(address)

    def case_in(self, case: int, *likely: str) -> int:
        """Mostly a case in one of these states."""
        those = [index for index, each in enumerate(self.state.cases) if each.state.name in likely]
        return those[case % len(those)] if those and case % 5 else case % len(self.cases)

    @precondition(lambda self: self.cases)
    @rule(case=ANY, votes=st.lists(st.sampled_from([True, True, True, False, None]), min_size=PEOPLE, max_size=PEOPLE))
    def judge(self, case: int, votes: list[bool | None]) -> None:
        """A whole round, if the case waits for one."""
        number = self.case_in(case, "WAITING")
        address = self.cases[number]
        if self.state.cases[number].state != slashing.CaseState.WAITING:
            return
        seed_slot = self.world.record("slashing", "Case", address)["seed_slot"]
        if self.height > seed_slot + 512:
            self.world.send("slashing", "draw", case=address)
            seed_slot = self.world.record("slashing", "Case", address)["seed_slot"]
        if self.height <= seed_slot:
            self.world.wait(8)
        chance = bytes(Hash(struct.pack("<Q", seed_slot) * 4))
        self.step(number, lambda each: slashing.draw(each, chance, self.now), "draw")
        for who, operator in enumerate(self.operators):
            validator = slashing.Validator(
                bytes(operator.owner.pubkey()), bytes(operator.key.pubkey()), bytes(operator.stake),
                self.state.stakes[who], 500, True, self.registered,
            )  # fmt: skip
            self.nominate(number, validator, operator)
        self.world.wait(DAY)
        for who, vote in enumerate(votes):
            if vote is not None:
                self.ballot(number, who, vote, shown=False)
        self.world.wait(DAY)
        for who, vote in enumerate(votes):
            if vote is not None:
                self.ballot(number, who, vote, shown=True)
        self.world.wait(DAY)
        self.close_round(number)

    def nominate(self, number: int, validator: slashing.Validator, operator: Operator) -> None:
        def model(state: State) -> None:
            state.cases[number] = slashing.nominate(state.cases[number], validator, self.now)

        self.both(model, lambda: self.network.nominate(self.cases[number], operator))

    def ballot(self, number: int, who: int, vote: bool, *, shown: bool) -> None:
        operator, address = self.operators[who], self.cases[number]
        node = bytes(operator.key.pubkey())

        def model(state: State) -> None:
            case = state.cases[number]
            if shown:
                self._set(state, number, slashing.reveal(case, node, vote, b"s" * 32, self.now))
            else:
                commitment = slashing.commitment_of(case, node, vote, b"s" * 32)
                self._set(state, number, slashing.commit(case, node, commitment, self.now))

        count = self.state.cases[number].round
        self.both(model,
            lambda: self.network.reveal(address, operator, vote) if shown
            else self.network.commit(address, operator, vote, count),
        )  # fmt: skip

    @staticmethod
    def _set(state: State, number: int, case: slashing.Case) -> None:
        state.cases[number] = case

    def step(self, number: int, model: Callable[[slashing.Case], slashing.Case], name: str) -> bool:
        address = self.cases[number]
        return self.both(
            lambda state: self._set(state, number, model(state.cases[number])),
            lambda: self.world.send("slashing", name, case=address),
        )

    @precondition(lambda self: self.cases)
    @rule(case=ANY)
    def close_round(self, case: int) -> None:
        number = case % len(self.cases)

        def model(state: State) -> None:
            after = slashing.close_round(state.cases[number], self.now)
            state.cases[number] = after
            if after.state in (slashing.CaseState.DISMISSED, slashing.CaseState.OVERTURNED):
                accused = state.accused[number]
                state.move("slashing", "treasury", after.bond)
                state.stakes[accused] = staking.release(state.stakes[accused])

        self.both(model, lambda: self.network.close_round(self.cases[number]))

    @precondition(lambda self: self.cases)
    @rule(case=ANY)
    def appeal(self, case: int) -> None:
        number = self.case_in(case, "CONFIRMED")
        owner = self.operators[self.state.accused[number]].owner
        self.both(
            lambda state: self._set(state, number, slashing.appeal(state.cases[number], self.now)),
            lambda: self.world.send("slashing", "appeal", owner, accused=owner.pubkey(), case=self.cases[number]),
        )

    @precondition(lambda self: self.cases)
    @rule(case=ANY)
    def execute_case(self, case: int) -> None:
        number = self.case_in(case, "CONFIRMED", "UPHELD")
        reporter = next(
            index for index, each in enumerate(self.operators)
            if bytes(each.owner.pubkey()) == self.state.cases[number].reporter
        )  # fmt: skip

        def model(state: State) -> None:
            case = slashing.execute(state.cases[number], self.now)
            state.cases[number] = case
            accused = state.accused[number]
            state.pool, state.stakes[accused], taken = staking.slash(
                state.pool, state.stakes[accused], case.bps, state.rewards.accumulator, self.height
            )
            state.move("staking", "slashing", taken)
            parts = slashing.split(taken)
            state.move("slashing", f"person {reporter}", parts.reward + case.bond)
            state.move("slashing", "collection", parts.burned)
            state.move("slashing", "treasury", parts.treasury)

        tokens = self.operators[reporter].tokens
        self.both(model, lambda: self.network.execute_case(self.cases[number], tokens))

    # --- proposals ------------------------------------------------------------------------------------------------
    @precondition(lambda self: len(self.proposals) < 4)
    @rule(who=WHO, active=st.booleans())
    def propose(self, who: int, active: bool) -> None:
        who = self.likely(who, lambda each: each.weight >= 1_000_000 * HYPER)
        each, number = self.operators[who], len(self.proposals)
        done = self.both(
            lambda state: state.proposals.append(proposals.propose(proposals.Parameters(), state.stakes[who])),
            lambda: self.network.propose(each.owner, each.stake, id=number),
        )
        if done:
            address = self.world.address("governance", "proposal", each.owner.pubkey(), number)
            self.proposals.append((address, each.owner))
            if active:
                self.advance_proposal(number, "activate")

    def proposal_in(self, proposal: int, likely: str) -> int:
        """Mostly a proposal in this state."""
        those = [index for index, each in enumerate(self.state.proposals) if each.state.name == likely]
        return those[proposal % len(those)] if those and proposal % 5 else proposal % len(self.proposals)

    @precondition(lambda self: self.proposals)
    @rule(
        proposal=ANY,
        name=st.sampled_from(
            ["activate", "activate", "activate", "cancel", "finalize", "finalize", "execute", "expire"]
        ),
    )
    def advance(self, proposal: int, name: str) -> None:
        likely = {"activate": "DRAFT", "cancel": "DRAFT", "finalize": "ACTIVE", "execute": "QUEUED", "expire": "QUEUED"}
        self.advance_proposal(self.proposal_in(proposal, likely[name]), name)

    def advance_proposal(self, number: int, name: str) -> None:
        address, owner = self.proposals[number]

        def model(state: State) -> None:
            before = state.proposals[number]
            match name:
                case "activate":
                    after = proposals.activate(before, state.pool, self.now, self.height)
                case "cancel":
                    after = proposals.cancel(before, self.now)
                case "finalize":
                    after = proposals.finalize(before, self.now)
                case "execute":
                    after = proposals.execute(before, self.now)
                case _:
                    after = proposals.expire(before, self.now)
            state.proposals[number] = after

        def chain() -> None:
            if name == "execute":
                self.network.execute(address)
            elif name in ("activate", "cancel"):
                self.world.send("governance", name, owner, proposer=owner.pubkey(), proposal=address)
            else:
                self.world.send("governance", name, proposal=address)

        self.both(model, chain)

    @precondition(lambda self: self.proposals)
    @rule(
        proposal=ANY, who=WHO, choice=st.sampled_from(["For", "For", "For", "Against", "Abstain"]).map(proposals.Choice)
    )
    def vote(self, proposal: int, who: int, choice: proposals.Choice) -> None:
        self.cast(self.proposal_in(proposal, "ACTIVE"), self.likely(who, lambda each: each.weight > 0), choice)

    @precondition(lambda self: any(each.state == proposals.ProposalState.ACTIVE for each in self.state.proposals))
    @rule(proposal=ANY, choices=st.lists(st.sampled_from(["For", "For", "Against", "Abstain"]), min_size=3, max_size=3))
    def poll(self, proposal: int, choices: list[str]) -> None:
        """Those with the most weight vote, and the vote ends."""
        number = self.proposal_in(proposal, "ACTIVE")
        heaviest = sorted(range(PEOPLE), key=lambda who: -self.state.stakes[who].weight)
        for who, choice in zip(heaviest, choices, strict=False):
            self.cast(number, who, proposals.Choice(choice))
        self.world.wait(3 * DAY)
        self.advance_proposal(number, "finalize")

    def cast(self, number: int, who: int, choice: proposals.Choice) -> None:
        each = self.operators[who]

        def model(state: State) -> None:
            require((number, who) not in state.voted, "AlreadyExists")
            state.proposals[number], _ = proposals.vote(state.proposals[number], state.stakes[who], choice, self.now)
            state.voted.add((number, who))

        address = self.proposals[number][0]
        self.both(model, lambda: self.network.vote(address, each.owner, each.stake, choice.value))

    # --- jobs -----------------------------------------------------------------------------------------------------
    @rule(client=WHO, seconds=st.sampled_from([0, 1, 600, 7_200, 7_201]))
    def open(self, client: int, seconds: int) -> None:
        client %= PEOPLE
        each = self.operators[client]

        def model(state: State) -> None:
            job = escrow.open_job(client, seconds, self.now)
            state.move(f"person {client}", "market", job.deposit)
            state.jobs.append(job)

        def chain() -> None:
            self.jobs.append(self.network.open(each.owner, each.tokens, id=len(self.jobs), seconds=seconds))

        self.both(model, chain)

    @precondition(lambda self: self.jobs)
    @rule(job=ANY, who=WHO, alive=st.booleans())
    def take(self, job: int, who: int, alive: bool) -> None:
        number = self.job_in(job, "QUEUED")
        if number is not None:
            self.take_job(number, self.likely(who, lambda each: each.amount >= 100 * HYPER), alive)

    def take_job(self, number: int, who: int, alive: bool) -> None:
        operator = self.operators[who]
        if alive:
            self.network.checkpoint(operator)
            self.state.seen_at[who] = self.now

        def model(state: State) -> None:
            state.jobs[number] = escrow.take(
                state.jobs[number], who, state.stakes[who], state.seen_at[who], state.running[who], self.now
            )
            state.running[who] += 1

        self.both(model, lambda: self.network.take(self.jobs[number], operator))

    def job_in(self, job: int, *likely: str) -> int | None:
        """Mostly a job in one of these states, never a closed one."""
        alive = [index for index, each in enumerate(self.state.jobs) if each.state != escrow.JobState.CLOSED]
        those = [index for index in alive if self.state.jobs[index].state.name in likely]
        chosen = those if those and job % 5 else alive
        return chosen[job % len(chosen)] if chosen else None

    @precondition(lambda self: self.jobs)
    @rule(job=ANY, wait=st.sampled_from([0, 1, 600, 7_300]), seconds=st.sampled_from([0, 1, 600, 7_200]))
    def submit(self, job: int, wait: int, seconds: int) -> None:
        number = self.job_in(job, "ASSIGNED")
        if number is not None:
            self.submit_job(number, wait, seconds)

    def submit_job(self, number: int, wait: int, seconds: int) -> None:
        if self.state.jobs[number].operator < 0:
            return
        self.world.wait(wait)
        operator = self.operators[self.state.jobs[number].operator]

        def model(state: State) -> None:
            state.jobs[number] = escrow.submit(state.jobs[number], seconds, self.now)

        self.both(model, lambda: self.network.submit(self.jobs[number], operator, seconds))

    @rule(client=WHO, who=WHO, wait=st.sampled_from([1, 600, 7_200]),
          cumulative=st.sampled_from([0, 20_000, 2_000_000]), submitted=st.booleans())  # fmt: skip
    def work(self, client: int, who: int, wait: int, cumulative: int, submitted: bool) -> None:
        """A job on its way: opened, taken, perhaps paid by a voucher, perhaps submitted."""
        number = len(self.jobs)
        self.open(client, 7_200)
        if len(self.jobs) == number:
            return
        self.take_job(number, self.likely(who, lambda each: each.amount >= 100 * HYPER), alive=True)
        if cumulative:
            self.redeem_job(number, cumulative)
        if submitted:
            self.submit_job(number, wait, wait)

    @precondition(lambda self: self.jobs)
    @rule(job=ANY, what=st.sampled_from(["cancel", "settle", "refund", "resolve for", "resolve against", "dispute"]),
          by_right=st.booleans())  # fmt: skip
    def end(self, job: int, what: str, by_right: bool) -> None:
        number = self.job_in(job, *ENDINGS[what])
        if number is None:
            return
        there, before = self.jobs[number], self.state.jobs[number]
        if (what == "cancel") != (before.operator < 0):
            return
        operator = self.operators[max(0, before.operator)]
        stranger = self.world.payer

        def model(state: State) -> None:
            match what:
                case "cancel":
                    after, payment = escrow.cancel(before, by_right, self.now)
                case "settle":
                    after, payment = escrow.settle(before, by_right, self.now)
                case "refund":
                    after, payment = escrow.refund(before, by_right, self.now)
                case "dispute":
                    after = escrow.dispute(before, self.now)
                    state.move(f"person {after.client}", "market", after.bond)
                    state.jobs[number] = after
                    return
                case _:
                    after, payment = escrow.resolve(before, what == "resolve for")
            state.jobs[number] = after
            state.pay(after, payment)

        def chain() -> None:
            match what:
                case "cancel":
                    self.network.cancel(there, there.client if by_right else stranger)
                case "settle":
                    self.network.settle(there, operator, there.client if by_right else stranger)
                case "refund":
                    self.network.refund(there, operator, operator.key if by_right else stranger)
                case "dispute":
                    self.network.dispute(there)
                case _:
                    self.network.resolve(there, operator, for_node=what == "resolve for")

        self.both(model, chain)

    @precondition(lambda self: self.jobs)
    @rule(job=ANY, cumulative=st.sampled_from([1, 20_000, 1_000_000, 20_000_000]))
    def redeem(self, job: int, cumulative: int) -> None:
        number = self.job_in(job, "ASSIGNED", "SUBMITTED", "DISPUTED")
        if number is not None:
            self.redeem_job(number, cumulative)

    def redeem_job(self, number: int, cumulative: int) -> None:
        if self.state.jobs[number].operator < 0:
            return
        operator = self.operators[self.state.jobs[number].operator]

        def model(state: State) -> None:
            state.jobs[number], payment = escrow.redeem(state.jobs[number], cumulative)
            state.pay(state.jobs[number], payment)

        self.both(model, lambda: self.network.redeem(self.jobs[number], operator, cumulative))

    @precondition(lambda self: any(self.state.due.values()) or self.now % 7 == 0)
    @rule()
    def sweep(self) -> None:
        def model(state: State) -> None:
            require(any(state.due.values()), "NothingToSweep")
            for name, to in (("treasury", "treasury"), ("incentive", "incentive"), ("stakers", "rewards")):
                state.move("market", to, state.due[name])
            state.due = dict.fromkeys(state.due, 0)

        self.both(model, lambda: self.world.send("markets", "sweep"))

    # --- what always holds ----------------------------------------------------------------------------------------
    @invariant()
    def balances_are_equal(self) -> None:
        if not hasattr(self, "operators") or len(self.operators) < PEOPLE:
            return
        chain = {name: self.world.balance(self.world.named[label]) for name, label in VAULTS.items()}
        chain |= {f"person {number}": self.world.balance(each.tokens) for number, each in enumerate(self.operators)}
        assert chain == self.state.balances
        assert self.world.supply() == unlock.SUPPLY - self.state.burned

    @invariant()
    def records_are_equal(self) -> None:
        if not hasattr(self, "operators") or len(self.operators) < PEOPLE:
            return
        pool = self.world.record("staking", "Pool", self.world.named["staking_pool"])
        for name in ("amount", "weight", "previous_weight"):
            assert pool[name] == getattr(self.state.pool, name)
        held = self.world.record("rewards", "Pool", self.world.named["rewards_pool"])
        for name in ("accumulator", "held", "distributed", "paid"):
            assert held[name] == getattr(self.state.rewards, name)
        for each, stake in zip(self.operators, self.state.stakes, strict=True):
            record = self.world.record("staking", "Stake", each.stake)
            names = ("amount", "weight", "previous_weight", "earned", "snapshot", "reports", "state")
            assert {name: record[name] for name in names} == {name: getattr(stake, name) for name in names}
        for address, case in zip(self.cases, self.state.cases, strict=True):
            assert self.world.record("slashing", "Case", address)["state"] == case.state
        for (address, _), proposal in zip(self.proposals, self.state.proposals, strict=True):
            record = self.world.record("governance", "Proposal", address)
            columns = ("state", "votes_for", "votes_against", "votes_abstain", "total_weight")
            assert {name: record[name] for name in columns} == {name: getattr(proposal, name) for name in columns}


def _name(world: World, refused: Refused) -> str:
    """The error's name, by the program that failed first, which may be one that the called one called; the token
    program's own 1 says that funds do not suffice."""
    failed = next(line.split()[1] for line in refused.logs if " failed: " in line)
    name = next((name for name, key in world.ids.items() if str(key) == failed), None)
    if name is None:
        assert (failed, refused.code) == (str(TOKEN), 1), str(refused)
        return "InsufficientFunds"
    return str(idl(name).errors[refused.code or 0]["name"])


Histories.TestCase.settings = settings(
    max_examples=HISTORIES, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck),
    print_blob=True,
)  # fmt: skip
TestHistories = Histories.TestCase
