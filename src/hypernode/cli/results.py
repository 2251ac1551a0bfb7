"""Commands that move bytes: results, upload, download."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hypernode.cli.jobs import JobId, Json


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (results, upload, download):
        app.command(command.__name__)(command)


def results(
    job_id: JobId,
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Where they go.")] = Path(),
    json: Json = False,
) -> None:
    """Fetch a job's outputs, verified; an array's tasks each into a folder named by their index."""
    from hypernode.cli.common import clean, connect, say, transfer, write_json

    with connect() as client, transfer("fetching outputs") as progress:
        fetched = client.fetch_outputs(job_id, out, progress=progress)
    if json:
        items = [
            {"task": item.task, "path": item.path, "file": str(item.file)}
            | {"sha256": item.sha256, "size_bytes": item.size_bytes}
            for item in fetched
        ]
        write_json(items)
        return
    for item in fetched:
        print(clean(item.file))
    if not fetched:
        say("the job has no outputs (yet)")


def upload(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="Files to store.")], json: Json = False
) -> None:
    """Store files on the network. Prints the references that job documents and --input take."""
    from hypernode.cli.common import clean, connect, transfer, write_json

    found = []
    with connect() as client:
        for file in files:
            with transfer(f"uploading {file.name}") as progress:
                ref = client.upload(file, progress=progress)
            found.append({"file": str(file), "sha256": ref.sha256, "size_bytes": ref.size_bytes})
            if not json:
                print(f"sha256:{ref.sha256}:{ref.size_bytes}  {clean(file)}")
    if json:
        write_json(found)


def download(
    artifact: Annotated[str, typer.Argument(metavar="SHA256", help="Its SHA-256, or a reference as upload prints it.")],
    out: Annotated[Path, typer.Argument(metavar="FILE", help="Where it goes.")],
) -> None:
    """Fetch an artifact, verified; goes on where an earlier try stopped."""
    from hypernode.cli.common import connect, transfer

    sha256 = artifact.removeprefix("sha256:").partition(":")[0]
    with connect() as client, transfer(f"fetching {out.name}") as progress:
        client.download(sha256, out, progress=progress)
