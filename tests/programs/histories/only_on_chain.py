"""What exists on chain only, so that the embedded room cannot be asked: vouchers, disputes, and what is moved on by an
instruction of its own."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from programs.model import escrow
from programs.model.refusal import require
from programs.world import HYPER

from .base import ANY, WHO
from .jobs import Jobs
from .state import State, person

ENDINGS = {
    "dispute": ("SUBMITTED",), "settle": ("SUBMITTED", "DISPUTED"), "resolve for": ("DISPUTED",),
    "resolve against": ("DISPUTED",),
}  # fmt: skip


class OnlyOnChain(Jobs):
    """Vouchers and disputes; dues that wait to be swept, tokens that wait to be burned."""

    @precondition(lambda self: self.jobs)
    @rule(job=ANY, cumulative=st.sampled_from([1, 20_011, 1_000_003, 20_000_000]))
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

        self.act(model, lambda: self.network.redeem(self.jobs[number], operator, cumulative))

    @rule(client=WHO, who=WHO, cumulative=st.sampled_from([20_011, 2_000_003]), wait=st.sampled_from([1, 600, 7_200]))
    def work_on_credit(self, client: int, who: int, cumulative: int, wait: int) -> None:
        """A job that is paid while it runs, and submitted."""
        number = len(self.jobs)
        self.open(client, 7_200)
        if len(self.jobs) == number:
            return
        self.take_job(number, self.likely(who, lambda each: each.amount >= 100 * HYPER), alive=True)
        self.redeem_job(number, cumulative)
        self.submit_job(number, wait, wait)

    @precondition(lambda self: self.jobs)
    @rule(job=ANY, what=st.sampled_from(["resolve for", "resolve against", "dispute", "dispute"]))
    def dispute(self, job: int, what: str) -> None:
        number = self.job_in(job, *ENDINGS[what])
        if number is None or self.state.jobs[number].operator < 0:
            return
        there, before = self.jobs[number], self.state.jobs[number]
        operator = self.operators[before.operator]

        def model(state: State) -> None:
            if what == "dispute":
                state.jobs[number] = escrow.dispute(before, self.now)
                state.move(person(before.client), "market", state.jobs[number].bond)
            else:
                state.jobs[number], payment = escrow.resolve(before, what == "resolve for")
                state.pay(state.jobs[number], payment)

        def chain() -> None:
            if what == "dispute":
                self.network.dispute(there)
            else:
                self.network.resolve(there, operator, for_node=what == "resolve for")

        self.act(model, chain)

    @precondition(lambda self: any(self.state.due.values()) or self.now % 7 == 0)
    @rule()
    def sweep(self) -> None:
        def model(state: State) -> None:
            require(any(state.due.values()), "NothingToSweep")
            state.sweep()

        self.act(model, lambda: self.world.send("markets", "sweep"))

    @precondition(lambda self: self.state.balances["collection"] or self.now % 7 == 0)
    @rule()
    def burn_collection(self) -> None:
        def model(state: State) -> None:
            require(state.balances["collection"] > 0, "NothingToBurn")
            state.burn("collection", state.balances["collection"])

        payer, id = self.world.payer, self.world.random.getrandbits(64)
        self.act(model, lambda: self.world.send("token", "burn_collection", payer, payer=payer.pubkey(), id=id))
