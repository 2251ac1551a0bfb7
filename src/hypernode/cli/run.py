"""`hypernode run`: a command line here becomes a job there, as if it ran here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from hypernode.client.aio import AsyncClient
    from hypernode.client.build import LocalJob
    from hypernode.jobs.views import QuoteView

Words = list[str] | None

_HINTS: Final = {
    3: "isolation 3 takes nodes with gVisor (runsc) or a virtual machine; --isolation 2 trusts the node's kernel",
    2: "nodes of an ordinary user prove isolation 1: start them as root, or run with --isolation 1",
}


def register(app: typer.Typer) -> None:
    """Add `run`."""
    app.command("run", context_settings={"allow_interspersed_args": False})(run)


def run(
    command: Annotated[
        Words,
        typer.Argument(
            metavar="-- python …",
            help="What to run: python or a .wasm module, and its arguments; with --image the image's arguments.",
        ),
    ] = None,
    image: Annotated[
        str | None,
        typer.Option(metavar="NAME[:TAG][@DIGEST]", help="A container image to run, as 'docker pull' takes it."),
    ] = None,
    entrypoint: Annotated[
        str | None, typer.Option(help="Of an image: what to run instead of its own entry point. [default: its own]")
    ] = None,
    working_folder: Annotated[
        str | None, typer.Option("--workdir", metavar="FOLDER", help="Of an image: where it starts. [default: its own]")
    ] = None,
    registry_secret: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Of an image: the secret that opens its registry (see secret:set)."),
    ] = None,
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
    hosts: Annotated[
        Words,
        typer.Option(
            "--allow-host",
            metavar="HOST[:PORT]",
            help="A host that the job may reach, on port 443 by default. Repeatable.",
        ),
    ] = None,
    egress_limit: Annotated[
        str | None, typer.Option(metavar="SIZE", help="The most it may send and receive, as in 5GiB. [default: 1GiB]")
    ] = None,
    environment: Annotated[
        Words, typer.Option("--env", metavar="NAME=VALUE", help="An environment variable. Repeatable.")
    ] = None,
    labels: Annotated[Words, typer.Option("--label", metavar="NAME=VALUE", help="A label. Repeatable.")] = None,
    node_labels: Annotated[
        Words, typer.Option("--node-label", metavar="NAME=VALUE", help="A label that nodes must have. Repeatable.")
    ] = None,
    priority: Annotated[int | None, typer.Option(min=-9, max=9, help="Among your project's jobs. [default: 0]")] = None,
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
    from hypernode.cli import words
    from hypernode.cli.common import busy
    from hypernode.cli.following import run_until_done
    from hypernode.client.build import command_job, parse_input
    from hypernode.client.locks import resolve_requirements

    lock, command = None, command or []
    if requirements:
        with busy("resolving requirements"):
            lock = resolve_requirements(requirements)
    resources = {"cpu_milli": cpu, "memory_bytes": memory, "disk_bytes": disk, "gpu": {"count": gpu} if gpu else None}
    job = command_job(
        command,
        image=image,
        entrypoint=words.program(entrypoint),
        working_folder=working_folder,
        registry_secret=registry_secret,
        fuel=fuel,
        seed=seed,
        cap=cap if cap is not None else 0,
        inputs=dict(parse_input(text) for text in inputs or ()),
        lock=lock,
        outputs=outputs or (),
        environment=words.pairs("--env", environment),
        timeout_s=timeout,
        resources={key: value for key, value in resources.items() if value is not None},
        isolation=isolation,
        retries={"failures": retries} if retries is not None else None,
        network=words.network(hosts, egress_limit),
        labels=words.pairs("--label", labels),
        node_labels=words.pairs("--node-label", node_labels),
        priority=priority,
        name=name or words.default_name(command, image),
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
            following.say_image(submitted)
        ended = await following.follow(client, submitted, quiet=quiet)
        if job.document.outputs:
            with transfer("fetching outputs") as progress:
                fetched = await client.fetch_outputs(ended.id, out, progress=progress)
            for output in fetched if not quiet else ():
                say(f"· wrote {output.file} ({output.size_bytes} bytes)")
        if not quiet:
            await following.say_traffic(client, ended)
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
            if any(item.code == "isolation" for item in quote.excluded):
                say(f"  hint: {_HINTS.get(job.document.isolation, _HINTS[2])}")
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
