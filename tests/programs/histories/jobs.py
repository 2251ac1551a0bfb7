"""Jobs, from escrow to settlement."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from programs.model import escrow
from programs.model.refusal import require
from programs.world import HYPER

from .base import ANY, WHO, Both
from .state import PEOPLE, State

ENDINGS = {
    "cancel": ("QUEUED",), "refund": ("ASSIGNED",), "dispute": ("SUBMITTED",), "settle": ("SUBMITTED", "DISPUTED"),
    "resolve for": ("DISPUTED",), "resolve against": ("DISPUTED",),
}  # fmt: skip
"""What ends a job, and the states in which it may."""


class Jobs(Both):
    """Jobs, from escrow to settlement."""

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
                    after, payment = escrow.refund(before, self.now)
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
                    self.network.refund(there, operator)
                case "dispute":
                    self.network.dispute(there)
                case _:
                    self.network.resolve(there, operator, for_node=what == "resolve for")

        self.both(model, chain)

    @precondition(lambda self: self.jobs)
    @rule(job=ANY)
    def give_back(self, job: int) -> None:
        number = self.job_in(job, "ASSIGNED")
        if number is None or (operator := self.state.jobs[number].operator) < 0:
            return

        def model(state: State) -> None:
            state.jobs[number] = escrow.give_back(state.jobs[number])
            state.running[operator] -= 1

        self.both(model, lambda: self.network.give_back(self.jobs[number], self.operators[operator]))

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
