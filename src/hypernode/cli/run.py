"""`hypernode run`: a command line here becomes a job there, as if it ran here."""

from __future__ import annotations

import re
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from hypernode.client.aio import AsyncClient
    from hypernode.client.build import LocalJob
    from hypernode.jobs.views import QuoteView

Words = list[str] | None


def register(app: typer.Typer) -> None:
    """Add `run`."""
    app.command("run", context_settings={"allow_interspersed_args": False})(run)


def run(
    command: Annotated[
        list[str],
        typer.Argument(metavar="-- python …", help="What to run: python or a .wasm module, and its arguments."),
    ],
    requirements: Annotated[
        Words, typer.Option("--with", metavar="REQ", help="A package the job needs, as in 'numpy>=2'. Repeatable.")
    ] = None,
    inputs: Annotated[
        Words,
        typer.Option("--input", metavar="NAME=PATH", help="A file or folder that appears as /in/NAME. Repeatable."),
    ] = None,
    outputs: Annotated[
        Words,
        typer.Option("--output", metavar="PATTERN", help="A file the job writes in its folder; collected. Repeatable."),
    ] = None,
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Where outputs go.")] = Path(),
    cpu: Annotated[str | None, typer.Option(help="Cores, as in 2 or 500m. [default: 1]")] = None,
    memory: Annotated[str | None, typer.Option(help="As in 2GiB. [default: 512MiB]")] = None,
    disk: Annotated[str | None, typer.Option(help="As in 10GB. [default: 1GiB]")] = None,
    gpu: Annotated[int | None, typer.Option(min=1, help="Whole GPUs. [default: none]")] = None,
    timeout: Annotated[str, typer.Option(help="The longest it may run, as in 10m.")] = "1h",
    cap: Annotated[
        str | None,
        typer.Option(help="The most one task may cost, as in '0.5 HYPER'. [default: the cheapest node's worst case]"),
    ] = None,
    isolation: Annotated[
        int | None, typer.Option(min=0, max=3, help="The least isolation a node must have proved. [default: 2]")
    ] = None,
    retries: Annotated[
        int | None, typer.Option(min=0, help="Repeat when the job itself fails; each try is paid. [default: 0]")
    ] = None,
    environment: Annotated[
        Words, typer.Option("--env", metavar="NAME=VALUE", help="An environment variable. Repeatable.")
    ] = None,
    labels: Annotated[Words, typer.Option("--label", metavar="NAME=VALUE", help="A label. Repeatable.")] = None,
    name: Annotated[str | None, typer.Option(help="The job's name. [default: the script's]")] = None,
    array: Annotated[
        int | None, typer.Option(min=1, help="Run it this often; HYPERNODE_ARRAY_INDEX counts from 0.")
    ] = None,
    fuel: Annotated[
        int | None, typer.Option(min=1, help="Of a module: the most instructions, roughly. [default: no bound]")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Of a module: what its random bytes are made from. [default: it has none]")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only the job's own output.")] = False,
) -> None:
    """Run a command on the network: shows the price, streams its output, fetches its files, exits with its code.

    Ctrl-C cancels the job. Exit codes besides the job's own: 2 refused or not sent, 75 given up after failures of
    nodes, 124 timeout or out of fuel, 130 cancelled, 137 out of memory, 128+N killed by signal N.
    """
    from hypernode.cli.common import busy
    from hypernode.cli.following import run_until_done
    from hypernode.client.build import command_job, parse_input
    from hypernode.client.locks import resolve_requirements

    lock = None
    if requirements:
        with busy("resolving requirements"):
            lock = resolve_requirements(requirements)
    resources = {"cpu_milli": cpu, "memory_bytes": memory, "disk_bytes": disk, "gpu": {"count": gpu} if gpu else None}
    job = command_job(
        command,
        fuel=fuel,
        seed=seed,
        cap=cap if cap is not None else 0,
        inputs=dict(parse_input(text) for text in inputs or ()),
        lock=lock,
        outputs=outputs or (),
        environment=pairs("--env", environment),
        timeout_s=timeout,
        resources={key: value for key, value in resources.items() if value is not None},
        isolation=isolation,
        retries={"failures": retries} if retries is not None else None,
        labels=pairs("--label", labels),
        name=name or default_name(command),
        array={"size": array} if array is not None else None,
    )
    code = run_until_done(_run(job, choose_cap=cap is None, out=out, quiet=quiet))
    raise typer.Exit(code)


async def _run(job: LocalJob, *, choose_cap: bool, out: Path, quiet: bool) -> int:
    import asyncio

    from hypernode.cli import following
    from hypernode.cli.common import connect_async, money, say, transfer

    async with connect_async() as client:
        job = await _priced(client, job, choose_cap=choose_cap, quiet=quiet)
        with transfer("uploading") as progress:
            await client.upload_inputs(job, progress=progress)
        # A submission that was begun is finished before anything else, or nobody would know what to cancel.
        submitting = asyncio.create_task(client.submit(job.document))
        try:
            submitted = await asyncio.shield(submitting)
        except asyncio.CancelledError:
            await following.cancel(client, (await submitting).id)
            raise
        if not quiet:
            say(f"· job {submitted.id} is queued, {money(submitted.held)} held for it")
        ended = await following.follow(client, submitted, quiet=quiet)
        if job.document.outputs:
            with transfer("fetching outputs") as progress:
                fetched = await client.fetch_outputs(ended.id, out, progress=progress)
            for output in fetched if not quiet else ():
                say(f"· wrote {output.file} ({output.size_bytes} bytes)")
        if not quiet:
            say(f"· {following.verdict(ended)}")
        return await following.exit_code(client, ended)


async def _priced(client: AsyncClient, job: LocalJob, *, choose_cap: bool, quiet: bool) -> LocalJob:
    """The job with its cap, after telling what that means. Ends the command when no node can run it."""
    from hypernode.cli.common import money, say

    quote = await client.quote(job)
    if quote.cheapest_worst_price is None:
        for line in exclusions(quote):
            say(line)
        if choose_cap:
            say("error: no node can run this job now, so there is no price to take as cap; --cap queues it anyway")
            proved = [item for item in quote.excluded if item.code == "isolation"]
            if proved:
                say(
                    "  hint: nodes of an ordinary user prove isolation 1: start them as root, or run with --isolation 1"
                )
            raise typer.Exit(2)
    elif choose_cap:
        attempts = 1 + job.document.retries.failures  # every attempt that fails by its own fault is paid
        job = job.with_cap(quote.cheapest_worst_price * attempts)
        quote = await client.quote(job)  # which nodes can run it depends on the cap
    if not quiet:
        document = job.document
        nodes = len(quote.eligible)
        origin = "the cheapest node's price for the whole timeout" if choose_cap else "the cap"
        if choose_cap and document.retries.failures:
            origin += f", {1 + document.retries.failures} times"
        each = f" ({document.size} tasks, {money(document.cap)} each)" if document.size > 1 else ""
        say(
            f"· costs at most {money(document.cap * document.size)}{each}: {origin}; "
            f"{nodes} node{'' if nodes == 1 else 's'} can run it, {money(quote.available)} available"
        )
    return job


def exclusions(quote: QuoteView) -> list[str]:
    """Why nodes do not match, a line each."""
    if not quote.excluded and not quote.eligible:
        return ["· no node is there; start one with 'hypernode node:start' or a network with 'hypernode up'"]
    return [f"· {item.nodes} × {item.reason} [{item.code}]; {item.remedy}" for item in quote.excluded]


def pairs(option: str, texts: Words) -> dict[str, str]:
    """`NAME=VALUE` texts as a dictionary."""
    found: dict[str, str] = {}
    for text in texts or ():
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise typer.BadParameter(f"{text!r} is not NAME=VALUE", param_hint=option)
        found[name] = value
    return found


def default_name(command: list[str]) -> str | None:
    """A name from the script or module, or None for the document's own default."""
    wasm = bool(command) and command[0].endswith(".wasm")
    words: list[Any] = [word for word in (command if wasm else command[1:]) if word != "-u"]
    if not words or words[0] == "-c":
        return None
    word = words[1] if words[0] == "-m" and len(words) > 1 else words[0]
    text = re.sub(r"[^A-Za-z0-9._-]+", "-", PurePath(word).stem)[:63].lstrip("._-")
    return text or None
