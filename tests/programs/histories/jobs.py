"""Jobs, from escrow to payment or refund."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from hypernode.nodes.model import Ask
from programs.model import escrow
from programs.world import HYPER

from .base import ANY, WHO, Worlds
from .embedded import Embedded
from .refusals import OF_JOBS
from .state import OWNERS, PEOPLE, State, person

ASK = Ask(escrow.TERMS["rate"], escrow.TERMS["fixed"])
ENDINGS = {"cancel": ("QUEUED",), "refund": ("ASSIGNED",), "settle": ("SUBMITTED",)}
"""What ends a job, and the states in which it may."""


class Jobs(Worlds):
    """Jobs, from escrow to payment or refund. Who may take one, submit or end it, and when, is the market's; of the
    ledger it is asked what moves money: what a job holds, and what becomes of that."""

    @rule(client=WHO, seconds=st.sampled_from([0, 1, 600, 7_200, 7_201]))
    def open(self, client: int, seconds: int) -> None:
        client %= PEOPLE
        each, number = self.operators[client], len(self.jobs)

        def model(state: State) -> None:
            job = escrow.open_job(client, seconds, self.now, state.split)
            state.move(person(client), "market", job.deposit)
            state.jobs.append(job)

        def chain() -> None:
            self.jobs.append(self.network.open(each.owner, each.tokens, id=number, seconds=seconds))

        self.act(model, chain, lambda room: room.escrows.open(number, client, seconds, ASK))

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

        self.act(model, lambda: self.network.take(self.jobs[number], operator))

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

        self.act(model, lambda: self.network.submit(self.jobs[number], operator, seconds))

    @rule(client=WHO, who=WHO, wait=st.sampled_from([1, 600, 7_200]), goal=st.sampled_from(["", "submitted", *ENDINGS]))
    def work(self, client: int, who: int, wait: int, goal: str) -> None:
        """A job on its way: opened, taken, perhaps submitted, perhaps ended."""
        number = len(self.jobs)
        self.open(client, 7_200)
        if len(self.jobs) == number:
            return
        if goal != "cancel":
            self.take_job(number, self.likely(who, lambda each: each.amount >= 100 * HYPER), alive=True)
        if goal in ("submitted", "settle"):
            self.submit_job(number, wait, wait)
        if goal == "refund":
            self.world.wait(escrow.TERMS["grace_seconds"] + 7_200)
            self.end_job(number, goal, by_right=True)
            self.world.wait(1)
        if goal in ENDINGS:
            self.end_job(number, goal, by_right=True)

    @precondition(lambda self: self.jobs)
    @rule(job=ANY)
    def give_back(self, job: int) -> None:
        """A node gives a job back, which somebody else may take then. What it holds stays held."""
        number = self.job_in(job, "ASSIGNED")
        if number is None or (operator := self.state.jobs[number].operator) < 0:
            return

        def model(state: State) -> None:
            state.jobs[number] = escrow.give_back(state.jobs[number])
            state.running[operator] -= 1

        self.act(model, lambda: self.network.give_back(self.jobs[number], self.operators[operator]))

    @precondition(lambda self: self.jobs)
    @rule(job=ANY, what=st.sampled_from(list(ENDINGS)), by_right=st.booleans())
    def end(self, job: int, what: str, by_right: bool) -> None:
        """Somebody ends a job: who always may, or a stranger."""
        number = self.job_in(job, *ENDINGS[what])
        if number is not None:
            self.end_job(number, what, by_right)

    def end_job(self, number: int, what: str, by_right: bool) -> None:
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
                case _:
                    after, payment = escrow.refund(before, self.now)
            state.jobs[number] = after
            state.pay(after, payment)
            if self.embedded is not None:
                state.sweep()

        def chain() -> None:
            match what:
                case "cancel":
                    self.network.cancel(there, there.client if by_right else stranger)
                case "settle":
                    self.network.settle(there, operator, there.client if by_right else stranger)
                case _:
                    self.network.refund(there, operator)
            if self.embedded is not None and what == "settle":
                self.world.send("markets", "sweep")

        def in_room(room: Embedded) -> None:
            match what:
                case "cancel":
                    room.escrows.cancel(number)
                case "settle":
                    passed = before.submitted_at - before.assigned_at
                    room.escrows.settle(number, OWNERS[before.operator], before.used, passed)
                case _:
                    room.escrows.lose(number, OWNERS[before.operator])

        self.act(model, chain, in_room, codes=OF_JOBS)
