"""One model, three implementations: random histories through the rules of `programs.model`, through the programs in the
real runtime and through the embedded ledger and governance on a real PostgreSQL. After each step all have said the
same, and every balance is equal. What exists on chain only goes through the first two.

HISTORIES sets how many are run of each kind; 1000 take half an hour.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule, run_state_machine_as_test

from .histories.base import WHO
from .histories.duties import Duties
from .histories.effects import SETTINGS as SETTINGS_OF_VOTES
from .histories.effects import Setting
from .histories.embedded import Embedded
from .histories.founding import Founding
from .histories.jobs import Jobs
from .histories.only_on_chain import OnlyOnChain
from .histories.reports import Reports
from .histories.stakes import Stakes
from .histories.state import OWNERS, PEOPLE
from .histories.supply import Supply
from .histories.votes import Votes
from .model.escrow import Split
from .model.slashing import CaseState
from .world import DAY, HYPER

HISTORIES = int(os.environ.get("HISTORIES", "25"))
STEPS = 50
JUMPS = st.sampled_from([1, 1, 60, 301, 3_601, DAY, 3 * DAY, 7 * DAY + 1, 14 * DAY, 30 * DAY, 91 * DAY])
SPLITS = [setting for setting in SETTINGS_OF_VOTES if isinstance(setting.value, Split)]
STAKES = st.sampled_from([0, 100, 10_000, 10_000, 10_000, 1_000_000])
SETTINGS = settings(
    max_examples=HISTORIES, stateful_step_count=STEPS, deadline=None, suppress_health_check=list(HealthCheck),
    print_blob=True,
)  # fmt: skip


class Histories(Stakes, Reports, Votes, Supply, Jobs):
    """Every rule does one thing in each world."""

    @initialize(
        hyper=st.lists(STAKES, min_size=len(OWNERS), max_size=len(OWNERS)),
        crowded=st.booleans(),
        early=st.sampled_from([0, 0, 999_999_999_937]),
    )
    def begin(self, hyper: list[int], crowded: bool, early: int) -> None:
        """Some have stakes, of no round amount; in a crowded history all could judge, which is enough for a second
        panel. Rewards may have come before there is anybody to share them out to."""
        self.set_up()
        self.give(0, early)
        for number, amount in enumerate(hyper):
            if amount or (crowded and number < PEOPLE):
                self.stake_in(number, max(amount, crowded * 10_000) * HYPER + 7 * number + 3, 90)
        self.world.wait(1)

    @precondition(lambda self: len(self.proposals) < 6)
    @rule(client=WHO, who=WHO, proposer=WHO, split=st.sampled_from(SPLITS))
    def change_the_split_of_an_open_job(self, client: int, who: int, proposer: int, split: Setting) -> None:
        """A job is under way while a vote changes how prices are split: what was agreed holds for it, and the new split
        for the next one."""
        number = len(self.jobs)
        self.work(client, who, 600, "submitted")
        self.campaign(proposer, split, against=set(), late=False)
        if len(self.jobs) > number:
            self.end_job(number, "settle", by_right=True)
        self.work(client, who, 600, "settle")

    @rule(seconds=JUMPS)
    def jump(self, seconds: int) -> None:
        self.world.wait(seconds)


class OnChain(Histories, OnlyOnChain):
    """The model and the programs."""

    @precondition(lambda self: any(each.state == CaseState.WAITING for each in self.state.cases))
    @rule(sleeps=st.sampled_from([False, False, True]))
    def sleep(self, sleeps: bool) -> None:
        """Nobody is there while the hash of a round's slot is known."""
        if sleeps:
            self.world.wait(300, slots=750)


@pytest.mark.timeout(HISTORIES * 10)
def test_the_programs_do_what_the_model_does() -> None:
    run_state_machine_as_test(OnChain, settings=SETTINGS)


@pytest.mark.timeout(HISTORIES * 30)
def test_programs_and_embedded_room_do_what_the_model_does(database: str) -> None:
    found = Founding(database)

    class Everywhere(Histories, Duties):
        def set_up(self) -> None:
            super().set_up()
            self.embedded = Embedded(found, lambda: self.now)

        def teardown(self) -> None:
            super().teardown()
            if self.embedded is not None:
                self.embedded.adds_up()

    try:
        run_state_machine_as_test(Everywhere, settings=SETTINGS)
    finally:
        found.close()
