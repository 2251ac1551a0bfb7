"""Turning what happened to a job into sentences. Pure: events and views in, text out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from hypernode.events.model import EventView
from hypernode.jobs.lifecycle import JobState
from hypernode.jobs.views import Exclusion, JobView
from hypernode.kernel.money import show

_CAUSES: Final = {
    "lease.expired": "its node gave no sign of life for a whole lease",
    "lease.deadline": "it took longer than preparation, timeout and reporting may",
    "cancel.ignored": "its node did not obey the cancel in time",
    "node.forgot": "its node came back without it",
    "node.restarted": "its node was restarted while running it",
    "node.stopping": "its node was stopped and handed it back",
    "node.busy": "its node had no room for it after all",
    "node.disconnected": "its node went away",
    "node.revoked": "its node's rights were taken away",
    "cancelled": "the client cancelled it before it had started",
    "exited": "the process ended",
    "signalled": "the process was killed by a signal",
    "out_of_memory": "it needed more memory than it asked for",
    "out_of_fuel": "it used up the fuel its job allows",
    "timeout": "it ran longer than its timeout",
    "log_limit": "it wrote more log than allowed",
    "output_limit": "its outputs were too many, too large or could not be read safely",
    "output_missing": "it did not produce an output it had declared",
    "log.too_large": "its node sent more log than an attempt may have",
    "report.invalid": "its node's report was not valid",
    "secret.unknown": "the secret that its job names was deleted",
    "secret.wrong_registry": "the secret that its job names is for another registry by now",
    "secret.unreadable": "the secret that its job names cannot be opened any more",
}


COUNTED: Final = 10_000
"""What is more than this is said to be at least this."""


class Place(msgspec.Struct, frozen=True):
    """What stands before the next waiting task of a job."""

    retried_at: datetime | None
    """When it is tried again, if it waits for that."""
    ahead: int
    """Tasks of its own project that come first, at most COUNTED."""
    others: int
    """Other projects that wait, too, at most COUNTED."""
    room_at: datetime | None
    """When the first task on a suitable node ends at the latest, so far as timeouts say."""


def explain(
    job: JobView, events: Sequence[EventView], excluded: Sequence[Exclusion], eligible: int, place: Place | None = None
) -> list[str]:
    """Sentences about a job, oldest first; the last ones say why it waits, if it does, and what it cost."""
    sentences = [line for event in events if (line := _sentence(event, job))]
    if job.state in (JobState.QUEUED, JobState.RUNNING) and job.tasks.queued:
        sentences.append(_waiting(job, excluded, eligible, place))
    sentences.append(_cost(job))
    return sentences


def _sentence(event: EventView, job: JobView) -> str | None:
    data = event.data
    who = f"Task {event.task}, attempt {event.epoch}" if job.size > 1 else f"Attempt {event.epoch}"
    node = (event.node or "")[:8]
    match event.kind:
        case "job.submitted":
            tasks = f"{job.size} tasks" if job.size > 1 else "1 task"
            return f"{_time(event)} Submitted with {tasks}; {show(job.cap * job.size)} went into escrow."
        case "task.leased":
            return f"{_time(event)} {who} was leased to node {node}."
        case "task.running":
            return f"{_time(event)} {who} started running on node {node}."
        case "task.accepted":
            code = f" with exit code {data['exit_code']}" if data.get("exit_code") is not None else ""
            code += f" ({data['detail']})" if data.get("detail") else ""
            return (
                f"{_time(event)} {who} ended: {_cause(data)}{code}; the task {data.get('state')}. "
                f"{show(data.get('price', 0))} were paid for {data.get('billed_ms', 0) / 1000:g} s, "
                f"{show(data.get('refund', 0))} went back."
            )
        case "task.retried":
            return (
                f"{_time(event)} {who} failed: {_cause(data)}. It was paid {show(data.get('price', 0))}, and the task "
                f"is tried again after {data.get('retry_in_ms', 0) / 1000:g} s."
            )
        case "task.lost":
            after = (
                f"it is tried again after {data.get('retry_in_ms', 0) / 1000:g} s"
                if data.get("state") == "queued"
                else f"the task {data.get('state')}"
            )
            detail = f" ({data['detail']})" if data.get("detail") else ""
            return f"{_time(event)} {who} gave no result: {_cause(data)}{detail}. Nobody was paid; {after}."
        case "task.cancelled":
            back = show(data.get("refund", 0))
            return f"{_time(event)} {data.get('tasks')} waiting tasks were cancelled; {back} went back."
        case "job.ended":
            return f"{_time(event)} The job {data.get('state')}."
    return None


def _waiting(job: JobView, excluded: Sequence[Exclusion], eligible: int, place: Place | None) -> str:
    tasks = f"{job.tasks.queued} tasks wait" if job.tasks.queued > 1 else "A task waits"
    if eligible:
        return f"{tasks}: {_behind(eligible, place)}"
    if not excluded:
        return f"{tasks}: no node is online. Start one with `hypernode node:start`."
    reasons = "; ".join(f"{e.nodes} node{'s' if e.nodes > 1 else ''}: {e.reason} ({e.remedy})" for e in excluded)
    return f"{tasks}: no online node is suitable. {reasons}."


def _behind(eligible: int, place: Place | None) -> str:
    nodes = f"{eligible} suitable nodes have" if eligible > 1 else "the one suitable node has"
    if place is None:
        return f"{nodes} no room at the moment, or a retry is due later."
    if place.retried_at is not None:
        return f"it is tried again at {_clock(place.retried_at)}."
    parts = [f"{nodes} no room at the moment"]
    if place.ahead:
        parts.append(f"{_count(place.ahead, 'task')} of this project {'come' if place.ahead > 1 else 'comes'} first")
    if place.others:
        whose = f"{_count(place.others, 'other project')} {'wait' if place.others > 1 else 'waits'}, too"
        parts.append(f"{whose}; whoever holds the smallest share of the network is next")
    if place.room_at is not None:
        parts.append(f"the first task on a suitable node ends by {_clock(place.room_at)}, so far as its timeout says")
    return ". ".join(part[0].upper() + part[1:] if index else part for index, part in enumerate(parts)) + "."


def _count(number: int, what: str) -> str:
    many = f"at least {number}" if number >= COUNTED else str(number)
    return f"{many} {what}{'s' if number > 1 else ''}"


def _clock(at: datetime) -> str:
    return f"{at:%H:%M:%S}"


def _cost(job: JobView) -> str:
    if job.state.ended:
        return f"It cost {show(job.spent)} of at most {show(job.cap * job.size)}."
    return f"So far it cost {show(job.spent)}; {show(job.held)} are held in escrow."


def _cause(data: dict[str, Any]) -> str:
    cause = str(data.get("cause", ""))
    return _CAUSES.get(cause, cause or "for an unknown reason")


def _time(event: EventView) -> str:
    return event.at[11:19]
