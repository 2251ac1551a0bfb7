"""One model, several implementations: random histories through the rules of `programs.model` and through
the programs in the real runtime. After each step both have said the same, and every balance is equal.

HISTORIES sets how many are run; 1000 take some minutes.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from .histories.jobs import Jobs
from .histories.reports import Reports
from .histories.stakes import Stakes
from .histories.state import PEOPLE
from .histories.votes import Votes
from .model.slashing import CaseState
from .world import DAY, HYPER

HISTORIES = int(os.environ.get("HISTORIES", "40"))
JUMPS = st.sampled_from([1, 1, 60, 301, 3_601, DAY, 3 * DAY, 7 * DAY + 1, 14 * DAY, 30 * DAY, 91 * DAY])
STAKES = st.sampled_from([0, 100, 10_000, 10_000, 10_000, 1_000_000])


class Histories(Stakes, Reports, Votes, Jobs):
    """Every rule of this machine does one thing in the model and on chain."""

    @initialize(hyper=st.lists(STAKES, min_size=PEOPLE, max_size=PEOPLE))
    def begin(self, hyper: list[int]) -> None:
        self.set_up()
        for number, amount in enumerate(hyper):
            if amount:
                self.stake(number, amount * HYPER, 90)
        self.world.wait(1)

    @rule(seconds=JUMPS)
    def jump(self, seconds: int) -> None:
        self.world.wait(seconds)

    @precondition(lambda self: any(each.state == CaseState.WAITING for each in self.state.cases))
    @rule(sleeps=st.sampled_from([False, False, True]))
    def sleep(self, sleeps: bool) -> None:
        """Nobody is there while the hash of a round's slot is known."""
        if sleeps:
            self.world.wait(300, slots=750)


Histories.TestCase.settings = settings(
    max_examples=HISTORIES, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck),
    print_blob=True,
)  # fmt: skip
TestHistories = Histories.TestCase
