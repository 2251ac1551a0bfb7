"""The life of a task decided over random histories: always bounded, always ends, never pays beyond its cap."""

from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from hypernode.jobs import endings
from hypernode.jobs.endings import Attempt, Loss, Ref, Report
from hypernode.jobs.lifecycle import (
    AttemptState,
    History,
    JobState,
    TaskState,
    after_loss,
    after_report,
    backoff_ms,
    job_state,
    succeeded,
)
from hypernode.jobs.model import Array, JobDocument, PythonRuntime, Retries, identify
from hypernode.jobs.tally import Tally
from hypernode.kernel import limits
from hypernode.kernel.errors import InvalidInput, StaleLease
from hypernode.ledger.model import SHARES, Shares, split
from hypernode.ledger.receipt import Outcome, ReceiptBody, Run, Work, encode_body
from hypernode.nodes.model import Ask

counts = st.integers(0, limits.RETRIES)
retries = st.builds(Retries, counts, counts)
histories = st.builds(History, counts, counts, st.booleans())
outcomes = st.sampled_from(Outcome)


@given(histories, retries)
def test_a_loss_is_retried_within_its_bound_and_never_after_a_cancel(history: History, bound: Retries) -> None:
    following = after_loss(history, bound)
    if history.cancel_requested:
        assert following.state is TaskState.CANCELLED
    else:
        again = history.infrastructure_failures < bound.infrastructure
        assert following.state is (TaskState.QUEUED if again else TaskState.EXPIRED)
    assert (following.delay_ms > 0) == (following.state is TaskState.QUEUED)


@given(outcomes, st.none() | st.integers(0, 255), histories, retries, st.booleans())
def test_a_report_ends_the_task_or_is_retried_within_its_bound(
    outcome: Outcome, exit_code: int | None, history: History, bound: Retries, can_pay: bool
) -> None:
    following = after_report(outcome, exit_code, history, bound, can_pay)
    assert following.state.ended or following.state is TaskState.QUEUED
    assert (following.state is TaskState.SUCCEEDED) == succeeded(outcome, exit_code)
    if following.state is TaskState.QUEUED:
        assert can_pay and not history.cancel_requested and history.job_failures < bound.failures
        assert following.delay_ms == backoff_ms(history.job_failures)
    if outcome is Outcome.CANCELLED:
        assert following.state is TaskState.CANCELLED


@given(st.integers(0, 10**6))
def test_backoff_grows_and_is_bounded(failures: int) -> None:
    assert limits.BACKOFF_MS <= backoff_ms(failures) <= backoff_ms(failures + 1) <= limits.BACKOFF_MAX_MS


@given(retries, st.lists(st.tuples(st.booleans(), outcomes, st.integers(0, 1)), min_size=42, max_size=60))
def test_every_task_ends(bound: Retries, happenings: list[tuple[bool, Outcome, int]]) -> None:
    """Whatever happens to its attempts, there are at most as many as its retries allow."""
    state, infrastructure, failures, attempts = TaskState.QUEUED, 0, 0, 0
    for is_lost, outcome, exit_code in happenings:
        history = History(infrastructure, failures, False)
        attempts += 1
        if is_lost:
            state = after_loss(history, bound).state
            infrastructure += 1
        else:
            state = after_report(outcome, exit_code, history, bound, True).state
            failures += 1
        if state.ended:
            break
    assert state.ended
    assert attempts <= bound.infrastructure + bound.failures + 1


@given(st.lists(st.integers(0, 5), min_size=4, max_size=4), st.integers(0, 5), st.booleans())
def test_a_job_is_the_sum_of_its_tasks(ended: list[int], open_tasks: int, started: bool) -> None:
    size = sum(ended) + open_tasks
    if size == 0:
        return
    state = job_state(size, started, *ended)
    assert state.ended == (open_tasks == 0)
    if open_tasks == 0:
        good, failed, cancelled, expired = ended
        assert (state is JobState.SUCCEEDED) == (good == size)
        assert state is not JobState.CANCELLED or cancelled
        assert state is not JobState.FAILED or (failed and not cancelled)
        assert state is not JobState.EXPIRED or (expired and not failed and not cancelled)


NODE = "node"
JOB = UUID(int=7)


class JobMachine(RuleBasedStateMachine):
    """A job with its tasks, as the transactions of leasing, ending and cancelling would leave it."""

    @initialize(
        size=st.integers(1, 4),
        cap=st.integers(0, 10**6) | st.just(limits.MICRO_HYPER),
        bound=st.builds(Retries, st.integers(0, 3), st.integers(0, 3)),
        timeout_s=st.sampled_from([1, 60, limits.TIMEOUT_S]),
        shares=st.sampled_from([SHARES, Shares(treasury_bps=0, stakers_bps=500)]),
    )
    def begin(self, size: int, cap: int, bound: Retries, timeout_s: int, shares: Shares) -> None:
        self.document = JobDocument(
            version=1,
            runtime=PythonRuntime(code="1"),
            cap=cap,
            array=Array(size),
            retries=bound,
            timeout_s=timeout_s,
            isolation=0,
        )
        self.tally = Tally(
            job_id=JOB,
            project_id=UUID(int=1),
            content_id=identify(self.document),
            size=size,
            cap=cap,
            started=False,
            succeeded=0,
            failed=0,
            cancelled=0,
            expired=0,
            held=cap * size,
            spent=0,
            state=JobState.QUEUED,
            cancel_requested=False,
            shares=shares,
        )
        self.queue: dict[int, int] = dict.fromkeys(range(size), cap)  # what is left of the cap
        self.live: dict[int, Attempt] = {}
        self.past: list[Attempt] = []
        self.spent = dict.fromkeys(range(size), 0)
        self.failures: dict[int, tuple[int, int]] = dict.fromkeys(range(size), (0, 0))
        self.epochs = dict.fromkeys(range(size), 0)
        self.settled: set[Ref] = set()
        self.paid = 0
        self.refunded = 0

    def report(self, attempt: Attempt, outcome: Outcome, exit_code: int | None, wall_ms: int) -> Report:
        body = ReceiptBody(
            work=Work(
                job=self.tally.content_id,
                task=attempt.ref.task,
                outcome=outcome,
                exit_code=exit_code,
                signal=None,
                outputs=(),
            ),
            run=Run(
                job_id=str(JOB),
                epoch=attempt.ref.epoch,
                node=NODE,
                started_at_ms=0,
                ended_at_ms=0,
                wall_ms=wall_ms,
                cpu_ms=0,
                memory_peak_bytes=0,
                log_bytes=0,
                log_root="0" * 64,
                sandbox="",
                isolation=0,
            ),
        )
        return Report(attempt.ref, NODE, body, encode_body(body), b"")

    @precondition(lambda self: self.queue and not self.tally.cancel_requested)
    @rule(data=st.data(), rate=st.integers(0, 10**4) | st.just(limits.MICRO_HYPER), fixed=st.integers(0, 1000))
    def lease(self, data: st.DataObject, rate: int, fixed: int) -> None:
        task = data.draw(st.sampled_from(sorted(self.queue)))
        self.epochs[task] += 1
        infrastructure, failures = self.failures[task]
        self.live[task] = Attempt(
            ref=Ref(JOB, task, self.epochs[task]),
            node=NODE,
            operator=UUID(int=2),
            live=True,
            current=True,
            ask=Ask(rate, fixed),
            remaining_cap=self.queue.pop(task),
            infrastructure_failures=infrastructure,
            job_failures=failures,
            spent=self.spent[task],
            evidence_ms=data.draw(st.integers(0, 2 * 10**9)),
        )
        self.tally.started = True
        self.tally.state = JobState.RUNNING

    @precondition(lambda self: self.live)
    @rule(data=st.data(), outcome=outcomes, code=st.none() | st.integers(0, 2), wall_ms=st.integers(0, 2**53 - 1))
    def report_comes(self, data: st.DataObject, outcome: Outcome, code: int | None, wall_ms: int) -> None:
        task = data.draw(st.sampled_from(sorted(self.live)))
        item = self.report(self.live[task], outcome, code, wall_ms)
        if outcome is Outcome.CANCELLED and not self.tally.cancel_requested:
            with pytest.raises(InvalidInput):
                endings.decide(item, self.live[task], self.tally, self.document)
            return
        self.end(task, item)

    @precondition(lambda self: self.live)
    @rule(data=st.data(), final=st.booleans())
    def loss_comes(self, data: st.DataObject, final: bool) -> None:
        task = data.draw(st.sampled_from(sorted(self.live)))
        self.end(task, Loss(self.live[task].ref, NODE, "x", final=final))

    @precondition(lambda self: self.past)
    @rule(data=st.data(), is_report=st.booleans())
    def late_word_counts_for_nothing(self, data: st.DataObject, is_report: bool) -> None:
        attempt = data.draw(st.sampled_from(self.past))
        before = msgspec.structs.replace(self.tally)
        item = self.report(attempt, Outcome.EXITED, 0, 1) if is_report else Loss(attempt.ref, NODE, "x")
        with pytest.raises(StaleLease):
            endings.decide(item, attempt, self.tally, self.document)
        assert self.tally == before

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def others_word_counts_for_nothing(self, data: st.DataObject) -> None:
        attempt = self.live[data.draw(st.sampled_from(sorted(self.live)))]
        with pytest.raises(StaleLease):
            endings.decide(Loss(attempt.ref, "thief", "x"), attempt, self.tally, self.document)

    @rule()
    def cancel(self) -> None:
        if self.tally.state.ended:  # there is nothing to cancel any more
            assert not self.queue and not self.live
            return
        self.tally.cancel_requested = True
        if self.queue:
            refund = sum(self.queue.values())
            self.refunded += refund
            self.tally.end(TaskState.CANCELLED, refund, len(self.queue))
            self.queue.clear()

    def end(self, task: int, item: Report | Loss) -> None:
        attempt = self.live.pop(task)
        ending = endings.decide(item, attempt, self.tally, self.document)
        self.past.append(msgspec.structs.replace(attempt, live=False))
        if ending.split is not None:
            assert isinstance(item, Report) and attempt.ref not in self.settled
            self.settled.add(attempt.ref)
            self.tally.pay(ending.price)
            self.paid += ending.price
            self.spent[task] += ending.price
            assert ending.price <= attempt.remaining_cap
            assert ending.split == split(ending.price, self.tally.shares)
            assert ending.attempt_state in (AttemptState.ACCEPTED, AttemptState.RETRIED)
        else:
            assert ending.price == 0 and ending.attempt_state is AttemptState.LOST
        self.failures[task] = (ending.infrastructure_failures, ending.job_failures)
        if ending.next.state is TaskState.QUEUED:
            assert not self.tally.cancel_requested and ending.refund == 0
            assert ending.remaining_cap == attempt.remaining_cap - ending.price
            self.queue[task] = ending.remaining_cap
        else:
            assert ending.refund == attempt.remaining_cap - ending.price and ending.next.state.ended
            self.refunded += ending.refund
            self.tally.end(ending.next.state, ending.refund)

    @invariant()
    def money_adds_up(self) -> None:
        if not hasattr(self, "tally"):
            return
        whole = self.tally.cap * self.tally.size
        assert self.tally.held >= 0 and self.tally.spent == self.paid == sum(self.spent.values()) <= whole
        assert whole == self.tally.held + self.paid + self.refunded
        assert self.tally.held == sum(self.queue.values()) + sum(a.remaining_cap for a in self.live.values())
        assert all(spent <= self.tally.cap for spent in self.spent.values())

    @invariant()
    def tasks_add_up(self) -> None:
        if not hasattr(self, "tally"):
            return
        t = self.tally
        ended = t.succeeded + t.failed + t.cancelled + t.expired
        assert ended + len(self.queue) + len(self.live) == t.size
        assert t.state.ended == (ended == t.size)
        if t.state.ended:
            assert t.held == 0
        bound = self.document.retries
        assert all(epoch <= bound.infrastructure + bound.failures + 1 for epoch in self.epochs.values())
        assert not (t.cancel_requested and self.queue)


JobMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestJob = JobMachine.TestCase
