"""`hypernode gov case …`: reporting a stake, judging as a member of a panel, appealing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hypernode.cli.jobs import Json

if TYPE_CHECKING:
    from hypernode.governance.panels import Ballot
    from hypernode.governance.views.cases import CaseView

CaseId = Annotated[str, typer.Argument(metavar="CASE", help="The case's id.")]


def register(app: typer.Typer) -> None:
    """Add `case` and its commands."""
    commands = typer.Typer(no_args_is_help=True, help="Report a stake, judge as a member of a panel, appeal.")
    for name, command in (
        ("report", report),
        ("list", listing),
        ("show", show),
        ("vote", vote),
        ("reveal", reveal),
        ("appeal", appeal),
        ("advance", advance),
    ):
        commands.command(name)(command)
    app.add_typer(commands, name="case")


def report(
    kind: Annotated[
        str, typer.Argument(metavar="KIND", help="timeout, offline, repeated_failures, invalid_result or forgery.")
    ],
    evidence: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="The evidence; its SHA-256 is reported.")],
    node: Annotated[str | None, typer.Option(help="A node of the one reported.")] = None,
    stake: Annotated[str | None, typer.Option(help="Or the stake itself.")] = None,
    json: Json = False,
) -> None:
    """Report whoever owns a node. This holds a bond, and freezes the stake until the case ends. Prints the case's id.

    The file itself is not sent: keep it, and show it to the panel.
    """
    import hashlib

    from hypernode.cli.common import connect, money, say, write_json
    from hypernode.governance.slashing import Kind
    from hypernode.governance.views.cases import CaseRequest
    from hypernode.kernel import decode

    if kind not in list(Kind):
        raise typer.BadParameter(f"write one of: {', '.join(Kind)}", param_hint="KIND")
    with evidence.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    plain = {"kind": kind, "evidence": digest, "stake": stake, "node": node}
    request = decode.from_plain(plain, CaseRequest)
    with connect() as client:
        made = client.governance.report(request)
    if json:
        write_json(made)
        return
    print(made.id)
    say(f"{money(made.bond)} of bond are held; stake {made.stake} is frozen until the case ends")


def listing(
    state: Annotated[str | None, typer.Option("--state", help="Only those in this state.")] = None,
    stake: Annotated[str | None, typer.Option(help="Only those of this stake.")] = None,
    json: Json = False,
) -> None:
    """List cases, newest first."""
    from hypernode.cli.common import connect, table, when, write_json

    with connect() as client:
        found = list(client.governance.cases(state=state, stake_id=stake))
    if json:
        write_json(found)
        return
    rows = [
        (one.id, one.state, one.phase or "", one.kind, one.stake, one.role or "", when(one.reported_at))
        for one in found
    ]
    table(("CASE", "STATE", "PHASE", "KIND", "STAKE", "ROLE", "REPORTED (UTC)"), rows)


def show(case: CaseId, json: Json = False) -> None:
    """Show a case and its panel."""
    from hypernode.cli.common import connect

    with connect() as client:
        _show(client.governance.case(case), json)


def vote(
    case: CaseId,
    ballot: Annotated[str, typer.Argument(metavar="BALLOT", help="for the report, or against it.")],
    json: Json = False,
) -> None:
    """Commit to a vote as a member of the panel. What it is stays here until you reveal it, which you must do in time.

    A vote that is not revealed does not count.
    """
    from hypernode.cli.common import connect, say
    from hypernode.cli.votes import Seat, keep, load
    from hypernode.governance.panels import Ballot
    from hypernode.kernel.errors import Conflict, NotOnPanel

    if ballot not in list(Ballot):
        raise typer.BadParameter("write for or against", param_hint="BALLOT")
    with connect() as client:
        found = client.governance.case(case)
        if found.role != "judge":
            raise NotOnPanel()
        seat = Seat(found.id, found.round, client.whoami().project_id)
        kept = load(seat) or keep(seat, Ballot(ballot))
        if kept.ballot != ballot:
            raise Conflict(f"a vote {kept.ballot} the report was kept before; it can be committed, no other")
        view = client.governance.commit(case, kept.commitment(seat))
        _show(view, json)
    say(f"reveal it between {view.commit_ends_at} and {view.reveal_ends_at}: hypernode gov case reveal {case}")


def reveal(case: CaseId, json: Json = False) -> None:
    """Show the vote that was committed to, once the time to commit is over."""
    from hypernode.cli.common import connect
    from hypernode.cli.votes import Seat, load
    from hypernode.kernel.errors import NotFound

    with connect() as client:
        found = client.governance.case(case)
        kept = load(Seat(found.id, found.round, client.whoami().project_id))
        if kept is None:
            raise NotFound("no vote on this round of the case was kept here; reveal it where you committed to it")
        _show(client.governance.reveal(case, kept.ballot, kept.salt), json)


def appeal(case: CaseId, json: Json = False) -> None:
    """Ask for a second panel, as the accused."""
    from hypernode.cli.common import connect

    with connect() as client:
        _show(client.governance.appeal(case), json)


def advance(case: CaseId, json: Json = False) -> None:
    """Draw the panel, count the votes, or carry the verdict out. The coordinator does so by itself, too."""
    from hypernode.cli.common import connect

    with connect() as client:
        _show(client.governance.advance(case), json)


def _show(case: CaseView, json: bool) -> None:
    from hypernode.cli.common import fields, money, when, write_json

    if json:
        write_json(case)
        return

    def seat(committed: bool, ballot: Ballot | None) -> str:
        return ballot or ("committed" if committed else "has not voted")

    fields(
        [
            ("case", case.id),
            ("kind", case.kind),
            ("state", case.state),
            ("phase", case.phase),
            ("round", case.round),
            ("stake", case.stake),
            ("role", case.role),
            ("evidence", case.evidence),
            ("bond", money(case.bond)),
            ("commit until", when(case.commit_ends_at)),
            ("reveal until", when(case.reveal_ends_at)),
            ("appeal until", when(case.appeal_ends_at)),
            ("panel", "nobody could be drawn" if case.phase and not case.panel else ""),
            *(("judge", f"{one.project_id} {seat(one.committed, one.ballot)}") for one in case.panel),
        ]
    )
