"""`hypernode receipt`: fetch receipts, and check them without trusting or even reaching anyone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hypernode.cli.jobs import JobId, Json

FILE_BYTES = 256 * 1024 * 1024


def register(app: typer.Typer) -> None:
    """Add `receipt get` and `receipt verify`."""
    group = typer.Typer(
        no_args_is_help=True, rich_markup_mode=None, help="Fetch receipts and check them offline.", add_completion=False
    )
    group.command("get")(get)
    group.command("verify")(verify)
    app.add_typer(group, name="receipt")


def get(
    job_id: JobId,
    task: Annotated[int | None, typer.Option(min=0, help="Only this task's.")] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write here instead of to stdout.")] = None,
) -> None:
    """Fetch a job's receipts as JSON."""
    import msgspec

    from hypernode.cli.common import connect, say
    from hypernode.client.errors import FileUnusable

    with connect() as client:
        found = [item for item in client.receipts(job_id) if task is None or item.body.work.task == task]
    text = msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n"
    if out is None:
        print(text.decode(), end="")
        return
    try:
        out.write_bytes(text)
    except OSError as error:
        raise FileUnusable(f"cannot write {out}: {error.strerror}") from error
    say(f"wrote {len(found)} receipt{'' if len(found) == 1 else 's'} to {out}")


def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="One receipt or a list of them, as 'get' writes them.")],
    node: Annotated[str | None, typer.Option(help="The node's public key, if you know who it must be.")] = None,
    coordinator: Annotated[
        str | None, typer.Option(help="The coordinator's public key, if you know who it must be.")
    ] = None,
    json: Json = False,
) -> None:
    """Check receipts offline: both signatures, the signers, and that the split sums to the price. Exit 1 when bad.

    Without --coordinator a receipt is only known to be consistent with the keys it names itself.
    """
    from hypernode.cli.common import clean, money, write_json
    from hypernode.kernel.errors import BadSignature, InvalidInput
    from hypernode.kernel.units import show_bytes
    from hypernode.ledger.receipt import verify as check
    from hypernode.ledger.receipt import work_id

    results: list[dict[str, Any]] = []
    for receipt in read_receipts(file):
        try:
            check(receipt, node, coordinator)
            problem = ""
        except (BadSignature, InvalidInput) as error:
            problem = str(error)
        work, run, decision = receipt.body.work, receipt.body.run, receipt.decision
        results.append(
            {
                "job_id": run.job_id,
                "task": work.task,
                "attempt": run.epoch,
                "node": run.node,
                "coordinator": decision.coordinator,
                "work_id": work_id(work),
                "price": decision.split.price,
                "sent_bytes": run.egress.sent_bytes if run.egress else None,
                "received_bytes": run.egress.received_bytes if run.egress else None,
                "valid": not problem,
                "problem": problem,
            }
        )
    good = all(item["valid"] for item in results)
    if json:
        write_json(results)
        raise typer.Exit(0 if good else 1)
    for item in results:
        mark = "valid" if item["valid"] else "BAD"
        line = f"{mark:<5}  job {item['job_id']} task {item['task']} attempt {item['attempt']}"
        print(clean(f"{line}, {money(item['price'])}, work {item['work_id'][:16]}…"))
        if item["sent_bytes"] is not None:
            print(f"       sent {show_bytes(item['sent_bytes'])}, received {show_bytes(item['received_bytes'])}")
        if item["problem"]:
            print(clean(f"       {item['problem']}"))
    checked = ["the node's signature", "the coordinator's signature", "that the split sums to the price"]
    expected = [("node", node), ("coordinator", coordinator)]
    checked += [f"that the {who} is {key}" for who, key in expected if key]
    print(f"checked: {', '.join(checked)}")
    named = [f"the {who} is the one you know (--{who} KEY)" for who, key in expected if not key]
    if named:
        print(f"not checked: whether {' and whether '.join(named)}")
    bad = sum(not item["valid"] for item in results)
    print(f"{len(results) - bad} of {len(results)} receipts are valid")
    raise typer.Exit(0 if good else 1)


def read_receipts(file: Path) -> list[Any]:
    """The receipts in a file: one, a list, or a page. Raises FileUnusable or Malformed."""
    import msgspec

    from hypernode.client.errors import FileUnusable
    from hypernode.kernel.errors import Malformed
    from hypernode.ledger.model import ReceiptPage
    from hypernode.ledger.receipt import Receipt

    try:
        if file.stat().st_size > FILE_BYTES:
            raise FileUnusable(f"{file} has more than {FILE_BYTES} bytes")
        data = file.read_bytes()
    except OSError as error:
        raise FileUnusable(f"cannot read {file}: {error.strerror}") from error
    try:
        if data.lstrip()[:1] == b"[":
            found = msgspec.json.decode(data, type=list[Receipt])
        elif isinstance(plain := msgspec.json.decode(data), dict) and "items" in plain:
            found = msgspec.json.decode(data, type=ReceiptPage).items
        else:
            found = [msgspec.json.decode(data, type=Receipt)]
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(f"{file} holds no receipts: {error}") from error
    if not found:
        raise Malformed(f"{file} holds no receipts")
    return found
