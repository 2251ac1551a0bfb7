"""Commands about jobs: submit, quote, jobs, job, logs, cancel, explain, events."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hypernode.jobs.model import JobDocument
    from hypernode.jobs.views import JobView

JobId = Annotated[str, typer.Argument(metavar="JOB", help="The job's id.")]
Json = Annotated[bool, typer.Option("--json", help="Write JSON.")]
File = Annotated[Path, typer.Argument(metavar="FILE", help="A job document in YAML or JSON; - reads stdin.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (submit, quote, jobs, job, logs, cancel, explain, events):
        app.command(command.__name__)(command)


def submit(
    file: File,
    wait: Annotated[
        bool, typer.Option("--wait", help="Stay until it ends, stream its log and exit with its code.")
    ] = False,
    json: Json = False,
) -> None:
    """Submit a job document. Prints the job's id."""
    from hypernode.cli.common import connect, money, say, write_json
    from hypernode.jobs.model import ContainerRuntime

    document = read_document(file)
    with connect() as client:
        submitted = client.submit(document)
    if json:
        write_json(submitted)
    elif not wait:
        print(submitted.id)
    say(f"· job {submitted.id} is queued, {money(submitted.held)} held for it")
    if isinstance(document.runtime, ContainerRuntime):
        from hypernode.cli.following import say_image

        say_image(submitted)
    if wait:
        from hypernode.cli.following import run_until_done

        raise typer.Exit(run_until_done(_wait(submitted)))


async def _wait(submitted: JobView) -> int:
    from hypernode.cli import following
    from hypernode.cli.common import connect_async, say

    async with connect_async() as client:
        ended = await following.follow(client, submitted)
        await following.say_traffic(client, ended)
        say(f"· {following.verdict(ended)}")
        return await following.exit_code(client, ended)


def read_document(file: Path) -> JobDocument:
    """A document from a file. Raises FileUnusable, or InvalidInput with every wrong field."""
    from hypernode.client.errors import FileUnusable
    from hypernode.jobs.model import parse_text
    from hypernode.kernel import limits

    try:
        if str(file) == "-":
            data = sys.stdin.buffer.read(limits.DOCUMENT_BYTES + 1)
        else:
            with file.open("rb") as stream:
                data = stream.read(limits.DOCUMENT_BYTES + 1)
    except OSError as error:
        raise FileUnusable(f"cannot read {file}: {error.strerror}") from error
    return parse_text(data)


def quote(file: File, json: Json = False) -> None:
    """Show what a job would cost at worst, and which nodes could run it. Takes nothing."""
    from hypernode.cli.common import connect, fields, money, table, write_json

    document = read_document(file)
    with connect() as client:
        found = client.quote(document)
    if json:
        write_json(found)
        return
    fields(
        [
            ("tasks", found.tasks),
            ("cheapest worst price per task", money(found.cheapest_worst_price)),
            ("cap per task", money(document.cap)),
            ("cap too low by", money(found.cap_short_by) if found.cap_short_by else ""),
            ("held at submission", money(found.hold)),
            ("available", money(found.available)),
            ("can be submitted", "yes" if found.can_submit else "no"),
        ]
    )
    if found.eligible:
        print()
        rows = []
        for node in found.eligible:
            amounts = (money(node.rate_per_second * 3600), money(node.fixed), money(node.worst_price))
            rows.append((node.name, node.node, *amounts, "yes" if node.available_now else "no"))
        titles = ("NODE", "KEY", "PER HOUR", "FIXED", "WORST PRICE", "FREE NOW")
        table(titles, rows, right=titles[2:5])
    if found.excluded:
        print()
        reasons = [(item.nodes, item.reason, item.remedy, item.code) for item in found.excluded]
        table(("NODES", "CANNOT, BECAUSE", "REMEDY", "CODE"), reasons, right=("NODES",))


def jobs(
    state: Annotated[str | None, typer.Option(help="Only jobs in this state, as in running.")] = None,
    name: Annotated[str | None, typer.Option(help="Only jobs of this name.")] = None,
    label: Annotated[
        list[str] | None, typer.Option("--label", metavar="NAME=VALUE", help="Only jobs with this label. Repeatable.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 20,
    json: Json = False,
) -> None:
    """List jobs, newest first."""
    from itertools import islice

    from hypernode.cli.common import connect, money, table, when, write_json
    from hypernode.cli.words import pairs

    with connect() as client:
        matching = client.jobs(state=state, name=name, labels=pairs("--label", label), page_size=min(limit, 200))
        found = list(islice(matching, limit))
    if json:
        write_json(found)
        return
    rows = [
        (job.id, job.name, job.state, f"{_ended(job)}/{job.size}", money(job.spent), when(job.submitted_at))
        for job in found
    ]
    table(("JOB", "NAME", "STATE", "TASKS ENDED", "SPENT", "SUBMITTED (UTC)"), rows, right=("TASKS ENDED", "SPENT"))


def _image(job: JobView) -> str:
    return str(getattr(job.document.runtime, "image", "")) if job.document else ""


def _reach(job: JobView) -> str:
    network = job.document.network if job.document else None
    return ", ".join(f"{one.host}:{one.port}" for one in network.egress) if network else ""


def _shares(job: JobView) -> str:
    shares = job.shares
    parts = {
        "operator": shares.operator_bps,
        "treasury": shares.treasury_bps,
        "incentive pool": shares.incentive_bps,
        "stakers": shares.stakers_bps,
    }
    return ", ".join(f"{bps / 100:g} % {whose}" for whose, bps in parts.items())


def _ended(job: JobView) -> int:
    return job.tasks.succeeded + job.tasks.failed + job.tasks.cancelled + job.tasks.expired


def job(
    job_id: JobId,
    tasks: Annotated[int, typer.Option(min=0, max=100_000, help="Show at most so many tasks.")] = 100,
    json: Json = False,
) -> None:
    """Show one job: its state, tasks, attempts and what it cost."""
    from itertools import islice

    from hypernode.cli.common import connect, fields, money, table, when, write_json
    from hypernode.kernel.units import show_bytes

    with connect() as client:
        found = client.job(job_id)
        if json:
            write_json(found)
            return
        shown = list(islice(client.tasks(job_id), tasks))
    fields(
        [
            ("job", found.id),
            ("name", found.name),
            ("state", found.state),
            ("content id", found.content_id),
            ("image", _image(found)),
            ("may reach", _reach(found)),
            ("tasks", f"{found.size} ({_ended(found)} ended, {found.tasks.live} live, {found.tasks.queued} queued)"),
            ("cap per task", money(found.cap)),
            ("held now", money(found.held)),
            ("spent", money(found.spent)),
            ("of a price", _shares(found)),
            ("submitted", when(found.submitted_at)),
            ("ended", when(found.ended_at)),
            ("labels", ", ".join(f"{key}={value}" for key, value in sorted(found.labels.items()))),
        ]
    )
    if not shown:
        return
    print()
    rows, traffic = [], any(task.egress is not None for task in shown)
    for task in shown:
        last = task.attempts[-1] if task.attempts else None
        end = task.outcome or (last.cause if last else "")
        code = task.exit_code if task.exit_code is not None else f"signal {task.signal}" if task.signal else ""
        node = last.node if last else ""
        sent = (
            [show_bytes(count) for count in (task.egress.sent_bytes, task.egress.received_bytes)] if task.egress else []
        )
        row = (task.index, task.state, end, code, len(task.attempts), node, len(task.outputs))
        rows.append((*row, *((sent or ["", ""]) if traffic else ()), money(task.spent)))
    columns = ("SENT", "RECEIVED") if traffic else ()
    titles = ("TASK", "STATE", "END", "EXIT", "ATTEMPTS", "NODE", "OUTPUTS", *columns, "SPENT")
    table(titles, rows, right=("TASK", "EXIT", "ATTEMPTS", "OUTPUTS", *columns, "SPENT"))


def logs(
    job_id: JobId,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the task ends.")] = False,
    task: Annotated[int, typer.Option(min=0, help="Which task of an array.")] = 0,
    epoch: Annotated[int | None, typer.Option(min=1, help="Which attempt. [default: the latest]")] = None,
    json: Annotated[bool, typer.Option("--json", help="Write one JSON object per piece, data in base64.")] = False,
) -> None:
    """Show what a task wrote: its stdout on stdout, its stderr on stderr."""
    from hypernode.cli.common import connect, write_json_line
    from hypernode.cli.following import write

    if follow and epoch is not None:
        raise typer.BadParameter("--follow shows all attempts", param_hint="--epoch")
    with connect() as client:
        for event in client.logs(job_id, task, follow=follow, epoch=epoch):
            if json:
                write_json_line(event)
            else:
                write(event)


def cancel(job_id: JobId, json: Json = False) -> None:
    """Cancel a job. Tasks that run are ended and paid for what they used; the rest is refunded."""
    from hypernode.cli.common import connect, write_json

    with connect() as client:
        found = client.cancel(job_id)
    if json:
        write_json(found)
    else:
        print(f"job {found.id} is {found.state}" if found.state.ended else f"job {found.id} is being cancelled")


def explain(job_id: JobId, json: Json = False) -> None:
    """Tell why a job is as it is: why it waits, why attempts ended, what it cost."""
    from hypernode.cli.common import clean, connect, write_json

    with connect() as client:
        found = client.explain(job_id)
    if json:
        write_json(found)
        return
    for sentence in found.sentences:
        print(f"- {clean(sentence)}")
    for item in found.excluded:
        print(clean(f"- {item.nodes} × {item.reason} [{item.code}]; {item.remedy}"))


def events(
    job_id: Annotated[str | None, typer.Option("--job", metavar="JOB", help="Only this job's, until it ends.")] = None,
    after: Annotated[str, typer.Option(metavar="ID", help="Go on after this event.")] = "",
    json: Annotated[bool, typer.Option("--json", help="Write one JSON object per event.")] = False,
) -> None:
    """Show what happens as it happens."""
    from hypernode.cli.common import clean, connect, when, write_json_line

    with connect() as client:
        for event in client.events(job_id, after=after):
            if json:
                write_json_line(event)
                continue
            about = [
                f"job {event.job_id}" if event.job_id and job_id is None else "",
                f"task {event.task}" if event.task is not None else "",
                f"attempt {event.epoch}" if event.epoch is not None else "",
                f"node {event.node}" if event.node else "",
                " ".join(f"{key}={value}" for key, value in event.data.items()),
            ]
            line = f"{when(event.at)}  {event.kind:<15} {' '.join(part for part in about if part)}"
            print(clean(line.rstrip()), flush=True)
