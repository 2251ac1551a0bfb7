"""Everything a client can do with jobs, within one project."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from uuid import UUID

from hypernode.events.hints import Hints
from hypernode.events.service import Feed
from hypernode.httpapi import ServerEvent, Streams
from hypernode.jobs.explain import explain
from hypernode.jobs.lifecycle import JobState, TaskState
from hypernode.jobs.logs import FrameReader, LogFrame
from hypernode.jobs.logstore import LogRef, LogStore
from hypernode.jobs.service.cancel import Cancels, LiveAttempt
from hypernode.jobs.service.intake import Asked, Intake
from hypernode.jobs.service.read import Reader, fresh_view
from hypernode.jobs.service.submit import Submission, Submissions, Taken
from hypernode.jobs.views import Explanation, JobPage, JobView, LogEnd, LogEvent, TaskPage
from hypernode.kernel import limits
from hypernode.kernel.errors import HypernodeError, InvalidInput, NotFound
from hypernode.market.service import Market

log = logging.getLogger(__name__)


class Jobs:
    """The jobs of projects, as their clients see them."""

    def __init__(
        self,
        submissions: Submissions,
        cancels: Cancels,
        reader: Reader,
        market: Market,
        intake: Intake,
        feed: Feed,
        logs: LogStore,
        hints: Hints,
        tell_cancelled: Callable[[Sequence[LiveAttempt]], None],
    ) -> None:
        """`tell_cancelled` passes on to nodes that attempts of theirs were cancelled."""
        self._submissions = submissions
        self._cancels = cancels
        self._reader = reader
        self._market = market
        self._intake = intake
        self._logs = logs
        self._hints = hints
        self._tell_cancelled = tell_cancelled
        self.feed = feed
        self.streams = Streams()

    async def submit(self, project_id: UUID, asked: Asked) -> JobView:
        """Take a job. Raises CapTooLow, InvalidInput, InsufficientFunds, IdempotencyMismatch, Overloaded, and of its
        image what `Images.pin` gives."""
        [ready] = await self._intake.ready(project_id, [asked])
        if isinstance(ready, HypernodeError):
            raise ready
        taken = ready if isinstance(ready, Taken) else await self._submissions.submit(ready)
        if taken.terms is None or isinstance(ready, Taken):
            return await self._reader.job(project_id, taken.job_id)
        return fresh_view(ready, taken.job_id, taken.terms)

    async def submit_many(
        self, project_id: UUID, asked: Sequence[Asked | HypernodeError]
    ) -> list[JobView | HypernodeError]:
        """Take several jobs, each for itself. An error in place of a document stays in its place."""
        outcomes = await self._intake.ready(project_id, asked)
        wanted = [(place, one) for place, one in enumerate(outcomes) if isinstance(one, Submission)]
        answers = await self._submissions.submit_many([submission for _, submission in wanted])
        fresh: dict[UUID, JobView] = {}
        for (place, submission), answer in zip(wanted, answers, strict=True):
            outcomes[place] = answer
            if isinstance(answer, Taken) and answer.terms is not None:
                fresh[answer.job_id] = fresh_view(submission, answer.job_id, answer.terms, document=False)
        old = [o.job_id for o in outcomes if isinstance(o, Taken) and o.job_id not in fresh]
        views = fresh | (await self._reader.jobs_by_id(project_id, old) if old else {})
        results: list[JobView | HypernodeError] = []
        for outcome in outcomes:
            assert not isinstance(outcome, Submission), "every submission was answered"
            results.append(views[outcome.job_id] if isinstance(outcome, Taken) else outcome)
        return results

    async def view(self, project_id: UUID, job_id: UUID) -> JobView:
        """One job with its document. Raises NotFound."""
        return await self._reader.job(project_id, job_id)

    async def page(
        self,
        project_id: UUID,
        state: JobState | None,
        name: str | None,
        labels: dict[str, str],
        cursor: str | None,
        limit: int,
    ) -> JobPage:
        """Jobs, newest first."""
        return await self._reader.jobs(project_id, state=state, name=name, labels=labels, cursor=cursor, limit=limit)

    async def tasks(
        self, project_id: UUID, job_id: UUID, state: TaskState | None, cursor: str | None, limit: int
    ) -> TaskPage:
        """Tasks of a job by index. Raises NotFound."""
        return await self._reader.tasks(project_id, job_id, state=state, cursor=cursor, limit=limit)

    async def cancel(self, project_id: UUID, job_id: UUID) -> JobView:
        """Cancel a job. Raises NotFound, JobEnded."""
        self._tell_cancelled(await self._cancels.cancel(project_id, job_id))
        return await self._reader.job(project_id, job_id)

    async def explain(self, project_id: UUID, job_id: UUID) -> Explanation:
        """Why a job is as it is. Raises NotFound."""
        job = await self._reader.job(project_id, job_id)
        history = await self.feed.history(project_id, job_id)
        waiting = not job.state.ended and job.tasks.queued > 0 and job.document is not None
        quote = await self._market.quote(project_id, job.document) if waiting and job.document else None
        excluded = quote.excluded if quote else []
        suitable = [node.node for node in quote.eligible] if quote else []
        place = await self._reader.place(job_id, suitable) if suitable else None
        return Explanation(str(job_id), explain(job, history, excluded, len(suitable), place), excluded)

    async def log(
        self, project_id: UUID, job_id: UUID, task: int, epoch: int | None, offset: int
    ) -> tuple[int, AsyncIterator[bytes]]:
        """Whose log it is (the attempt's epoch) and its bytes that are there now. Raises NotFound."""
        _, newest = await self._reader.current_epoch(project_id, job_id, task)
        if epoch is not None and epoch > newest:
            raise NotFound(f"task {task} has had {newest} attempts; there is no attempt {epoch}")
        shown = epoch or newest
        return shown, self._log_pieces(LogRef(job_id, task, shown), offset)

    async def _log_pieces(self, ref: LogRef, offset: int) -> AsyncIterator[bytes]:
        while piece := await self._logs.read(ref, offset):
            offset += len(piece)
            yield piece

    async def follow_log(
        self, project_id: UUID, job_id: UUID, task: int, after: str | None
    ) -> AsyncIterator[ServerEvent | None]:
        """Follow a task's log over all its attempts to its end. Raises NotFound, InvalidInput for a position this
        service did not give."""
        _, newest = await self._reader.current_epoch(project_id, job_id, task)
        epoch, offset = _position(after) if after else (max(1, newest), 0)
        return self._follow(project_id, job_id, task, epoch, offset)

    async def _follow(
        self, project_id: UUID, job_id: UUID, task: int, epoch: int, offset: int
    ) -> AsyncIterator[ServerEvent | None]:
        async def over() -> bool:
            state, newest = await self._reader.current_epoch(project_id, job_id, task)
            return newest > epoch or not state.live

        hint = self._hints.events.of(project_id)
        while True:
            seen = hint.count
            state, newest = await self._reader.current_epoch(project_id, job_id, task)
            if newest >= epoch:
                reader = FrameReader()
                start = offset
                async for piece in self._logs.follow(LogRef(job_id, task, epoch), offset, ended=over):
                    for frame in _frames(reader, piece):
                        position = start + reader.offset
                        yield ServerEvent(
                            f"{epoch}.{position}",
                            "log",
                            LogEvent(
                                task=task,
                                epoch=epoch,
                                offset=position,
                                stream=frame.stream,
                                at_ms=frame.at_ms,
                                data=frame.data,
                            ),
                        )
                offset = start + reader.offset
                seen = hint.count
                state, newest = await self._reader.current_epoch(project_id, job_id, task)
                if newest > epoch or not state.live:
                    epoch, offset = epoch + 1, 0
            if state.ended and newest < epoch:
                yield ServerEvent(f"{epoch}.0", "end", LogEnd(task=task, state=state))
                return
            if newest < epoch:
                yield None
                await hint.wait(seen, limits.POLL_S)


def _frames(reader: FrameReader, piece: bytes) -> Iterator[LogFrame]:
    # One by one, since the reader's offset must be that after each frame.
    try:
        yield from reader.feed(piece)
    except ValueError as error:  # the node that sent this log is to blame; its bytes are still to be had as they are
        log.warning("a log cannot be read: %s", error)


def _position(text: str) -> tuple[int, int]:
    epoch, _, offset = text.partition(".")
    if not (epoch.isdecimal() and offset.isdecimal() and len(text) < 24 and int(epoch) > 0):
        raise InvalidInput("Last-Event-ID is not one this service gave")
    return int(epoch), int(offset)
