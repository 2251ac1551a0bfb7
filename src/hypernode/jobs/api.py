"""HTTP for jobs: submit, look, cancel, follow."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Final, TypeAlias
from uuid import UUID

import msgspec
from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, QueryParameter, SkipValidation
from litestar.response import Stream

from hypernode.events.service import check_position
from hypernode.httpapi import (
    Cursor,
    Decoded,
    DocumentBody,
    IdempotencyKey,
    JobId,
    LastEventId,
    Limit,
    Project,
    ServerEvent,
    event_stream,
    fingerprint,
    problems,
)
from hypernode.jobs.lifecycle import JobState, TaskState
from hypernode.jobs.model import JobDocument, encode, parse
from hypernode.jobs.service.intake import Asked
from hypernode.jobs.service.jobs import Jobs
from hypernode.jobs.views import BatchItem, BatchRequest, BatchView, Explanation, JobPage, JobView, TaskPage
from hypernode.kernel import limits
from hypernode.kernel.errors import HypernodeError, InvalidInput, problem_of
from hypernode.tenancy.model import Idempotency
from hypernode.tenancy.service import check_idempotency_key

Service: TypeAlias = NamedDependency[SkipValidation[Jobs]]
TaskIndex: TypeAlias = Annotated[int, QueryParameter(ge=0, lt=limits.ARRAY_TASKS, description="Index in the array.")]
Labels: TypeAlias = Annotated[
    list[str] | None,
    QueryParameter(name="label", required=False, max_items=limits.LABELS, description="`key:value`; all must match."),
]

EPOCH_HEADER: Final = "hypernode-epoch"
"""Which attempt's log it is; 0 where there was none yet."""
_NO_JOB: Final = "The project has no such job."


class JobController(Controller):
    """Jobs."""

    path = "/jobs"
    tags = ["jobs"]  # noqa: RUF012  as Litestar declares it

    @post(
        summary="Submit a job",
        description="Takes the job and puts its cap into escrow, or refuses it and changes nothing. The body is a job "
        "document in JSON, or in YAML with `Content-Type: application/yaml`. When this answers 201, the job is safe. A "
        "tag of an image is replaced by the digest that its registry gives now.",
        dto=DocumentBody,
        return_dto=None,
        responses=problems(
            s402="The project's balance does not cover the hold.",
            s409="The Idempotency-Key came with another request before, or the job's secret cannot be opened.",
            s413="The document is too large.",
            s422="The document has errors (`errors` lists all), names artifacts, secrets or an image that are not "
            "there, or its cap is too low for every suitable node (`extra.short_by`).",
            s429="Too much at once; `Retry-After` says when to come back.",
            s502="The registry of an image that is named by a tag does not answer.",
        ),
    )
    async def submit(
        self, data: JSONBody[JobDocument], project: Project, jobs: Service, idempotency_key: IdempotencyKey = None
    ) -> JobView:
        """Submit a job."""
        encoded = encode(data)
        idempotency = check_idempotency_key(idempotency_key, fingerprint(b"job", encoded))
        return await jobs.submit(project.project_id, Asked(data, encoded, idempotency))

    @post(
        "/batch",
        summary="Submit several jobs",
        description="Each job is taken or refused for itself, in its place.",
        dto=Decoded[BatchRequest],
        return_dto=None,
        responses=problems(s413="The body is too large.", s422="The request has errors."),
    )
    async def submit_batch(
        self, data: JSONBody[BatchRequest], project: Project, jobs: Service, idempotency_key: IdempotencyKey = None
    ) -> BatchView:
        """Submit several jobs."""
        whole = check_idempotency_key(idempotency_key, b"")
        asked: list[Asked | HypernodeError] = []
        for place, plain in enumerate(data.jobs):
            try:
                document = parse(plain)
                encoded = encode(document)
            except InvalidInput as error:
                asked.append(error)
            else:
                # The key of one job of a batch is the batch's with its place, so that each is taken once.
                one = whole and Idempotency(f"{whole.key}#{place}", fingerprint(b"job", encoded))
                asked.append(Asked(document, encoded, one))
        outcomes = await jobs.submit_many(project.project_id, asked)
        return BatchView(
            [
                BatchItem(None, problem_of(one)) if isinstance(one, HypernodeError) else BatchItem(one, None)
                for one in outcomes
            ]
        )

    @get(
        summary="Jobs, newest first",
        responses=problems(s422="The cursor is not one this service gave, or a label filter is not `key:value`."),
    )
    async def list_jobs(
        self,
        project: Project,
        jobs: Service,
        job_state: Annotated[JobState | None, QueryParameter(name="state", required=False)] = None,
        name: Annotated[str | None, QueryParameter(required=False, max_length=63)] = None,
        label: Labels = None,
        cursor: Cursor = None,
        limit: Limit = limits.PAGE_ITEMS_DEFAULT,
    ) -> JobPage:
        """Jobs, newest first."""
        return await jobs.page(project.project_id, job_state, name, _labels(label or []), cursor, limit)

    @get("/{job_id:uuid}", summary="One job with its document", responses=problems(s404=_NO_JOB))
    async def get_job(self, job_id: JobId, project: Project, jobs: Service) -> JobView:
        """One job with its document."""
        return await jobs.view(project.project_id, job_id)

    @post(
        "/{job_id:uuid}/cancel",
        summary="Cancel a job",
        description="What waits ends and is refunded at once; what runs is stopped and paid for the time it ran.",
        status_code=200,
        responses=problems(s404=_NO_JOB, s409="The job has already ended."),
    )
    async def cancel(self, job_id: JobId, project: Project, jobs: Service) -> JobView:
        """Cancel a job."""
        return await jobs.cancel(project.project_id, job_id)

    @get(
        "/{job_id:uuid}/tasks",
        summary="Tasks with attempts, results and outputs",
        responses=problems(s404=_NO_JOB, s422="The cursor is not one this service gave."),
    )
    async def tasks(
        self,
        job_id: JobId,
        project: Project,
        jobs: Service,
        task_state: Annotated[TaskState | None, QueryParameter(name="state", required=False)] = None,
        cursor: Cursor = None,
        limit: Limit = limits.PAGE_ITEMS_DEFAULT,
    ) -> TaskPage:
        """Tasks of a job by index. Outputs are artifacts: fetch them by their hash."""
        return await jobs.tasks(project.project_id, job_id, task_state, cursor, limit)

    @get(
        "/{job_id:uuid}/explain",
        summary="Why the job is as it is",
        description="In sentences: why it waits, why an attempt ended, what it cost and why.",
        responses=problems(s404=_NO_JOB),
    )
    async def explain(self, job_id: JobId, project: Project, jobs: Service) -> Explanation:
        """Why the job is as it is."""
        return await jobs.explain(project.project_id, job_id)

    @get(
        "/{job_id:uuid}/logs",
        summary="The log of an attempt",
        description="The log file as the node sent it: frames of a stream number (1 stdout, 2 stderr; 1 byte), Unix "
        "milliseconds (8 bytes), a length (4 bytes), big-endian, and as many bytes. Its SHA-256 is the log root of the "
        "receipt. Without `epoch` that of the newest attempt.",
        media_type="application/octet-stream",
        responses=problems(s404="No such job or task."),
    )
    async def log(
        self,
        job_id: JobId,
        project: Project,
        jobs: Service,
        task: TaskIndex = 0,
        epoch: Annotated[int | None, QueryParameter(ge=1, le=2**31 - 1, required=False)] = None,
        offset: Annotated[int, QueryParameter(ge=0, le=limits.LOG_BYTES, required=False)] = 0,
    ) -> Stream:
        """The log of an attempt from `offset` on."""
        shown, chunks = await jobs.log(project.project_id, job_id, task, epoch, offset)
        headers = {"x-content-type-options": "nosniff", EPOCH_HEADER: str(shown)}
        return Stream(chunks, media_type="application/octet-stream", headers=headers)

    @get(
        "/{job_id:uuid}/logs/stream",
        summary="Follow a task's log",
        description="Server-sent events `log` (data: LogEvent) over all attempts from now or `Last-Event-ID` on, and "
        "one `end` (data: LogEnd) when the task has ended. Starts at the beginning of the newest attempt.",
        media_type="text/event-stream",
        responses=problems(
            s404="No such job or task.",
            s422="`Last-Event-ID` is not one this service gave.",
            s429="Too many streams are open.",
        ),
    )
    async def follow_log(
        self,
        job_id: JobId,
        project: Project,
        jobs: Service,
        task: TaskIndex = 0,
        last_event_id: LastEventId = None,
    ) -> Stream:
        """Follow a task's log."""
        following = await jobs.follow_log(project.project_id, job_id, task, last_event_id)
        return event_stream(jobs.streams.bounded(project.project_id, following))


@get(
    "/events",
    summary="Follow events",
    description="Server-sent events of the project: every transition of its jobs and nodes with its cause, from now or "
    "from `Last-Event-ID` on. `job` narrows them to one job and then starts at that job's beginning.",
    tags=["jobs"],
    media_type="text/event-stream",
    responses=problems(
        s404=_NO_JOB, s422="`Last-Event-ID` is not one this service gave.", s429="Too many streams are open."
    ),
)
async def events(
    project: Project,
    jobs: Service,
    job: Annotated[UUID | None, QueryParameter(required=False)] = None,
    last_event_id: LastEventId = None,
) -> Stream:
    """Follow events."""
    if job is not None:
        await jobs.view(project.project_id, job)
    check_position(last_event_id)
    following = _events(jobs, project.project_id, job, last_event_id)
    return event_stream(jobs.streams.bounded(project.project_id, following))


async def _events(
    jobs: Jobs, project_id: UUID, job: UUID | None, after: str | None
) -> AsyncIterator[ServerEvent | None]:
    start = after or ("0.0" if job else None)
    async for event in jobs.feed.follow(project_id, job, start):
        yield None if event is None else ServerEvent(event.id, event.kind, msgspec.to_builtins(event))


def _labels(texts: list[str]) -> dict[str, str]:
    pairs = [text.partition(":") for text in texts]
    if any(not colon or not key for key, colon, _ in pairs):
        raise InvalidInput("a label filter is written `key:value`")
    return {key: value for key, _, value in pairs}
