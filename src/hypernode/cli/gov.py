"""`hypernode gov …`: proposals and votes, and what they may change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from hypernode.cli import gov_case
from hypernode.cli.jobs import Json

if TYPE_CHECKING:
    from hypernode.governance.views.proposals import ProposalView

ProposalId = Annotated[str, typer.Argument(metavar="PROPOSAL", help="The proposal's id.")]
State = Annotated[str | None, typer.Option("--state", help="Only those in this state.")]


def register(app: typer.Typer) -> None:
    """Add `gov` and its commands."""
    commands = typer.Typer(no_args_is_help=True, help="Propose, vote, carry out; report and judge.")
    for name, command in (
        ("propose", propose),
        ("list", listing),
        ("show", show),
        ("vote", vote),
        ("activate", activate),
        ("cancel", cancel),
        ("finalize", finalize),
        ("execute", execute),
        ("parameters", parameters),
    ):
        commands.command(name)(command)
    gov_case.register(commands)
    app.add_typer(commands, name="gov")


def propose(
    title: Annotated[str, typer.Argument(metavar="TITLE", help="At most 100 bytes.")],
    change: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A parameter to change; repeatable.")
    ] = None,
    pay: Annotated[str | None, typer.Option(metavar="PROJECT-ID", help="A project to pay.")] = None,
    amount: Annotated[str | None, typer.Option(help="How much to pay it, as in '100 HYPER'.")] = None,
    fund: Annotated[
        str | None, typer.Option("--from", help="What to pay it from: treasury, unless you say incentive.")
    ] = None,
    stake: Annotated[str | None, typer.Option(help="By the weight of this stake, not the heaviest.")] = None,
    draft: Annotated[bool, typer.Option("--draft", help="Do not open the vote yet.")] = False,
    json: Json = False,
) -> None:
    """Propose to change parameters (--set), to pay a project (--pay, --amount), or a text. Prints the proposal's id."""
    from hypernode.cli.common import connect, say, when, write_json
    from hypernode.governance.views.proposals import ProposalRequest
    from hypernode.kernel import decode

    kind, payload = _effect(change, pay, amount, fund)
    plain = {"kind": kind, "title": title, "payload": payload, "stake": stake, "draft": draft}
    request = decode.from_plain(plain, ProposalRequest)
    with connect() as client:
        made = client.governance.propose(request)
    if json:
        write_json(made)
        return
    print(made.id)
    if made.vote_ends_at:
        say(f"the vote is open until {when(made.vote_ends_at)} UTC")
    else:
        say(f"a draft; open its vote with: hypernode gov activate {made.id}")


def _effect(
    change: list[str] | None, pay: str | None, amount: str | None, fund: str | None
) -> tuple[str, dict[str, Any] | None]:
    """Kind and payload of a proposal."""
    from hypernode.cli.words import amount_of, pairs

    if (pay is None) != (amount is None) or (pay is None and fund is not None):
        raise typer.BadParameter("a payment needs both --pay and --amount", param_hint="--pay")
    if pay is not None and amount is not None:
        if change:
            raise typer.BadParameter("a proposal does one thing; make two", param_hint="--set")
        return "treasury_spend", {"project_id": pay, "amount": amount_of(amount), "fund": fund or "treasury"}
    if not change:
        return "text", None
    values = pairs("--set", change)
    try:
        changes = {name: int(value) for name, value in values.items()}
    except ValueError as error:
        raise typer.BadParameter("values are integers; see: hypernode gov parameters", param_hint="--set") from error
    market = {name.startswith("market.") for name in changes}
    if len(market) > 1:
        raise typer.BadParameter("those of the market take a proposal of their own; make two", param_hint="--set")
    return "market_parameter" if True in market else "staking_parameter", {"parameters": changes}


def listing(state: State = None, json: Json = False) -> None:
    """List proposals, newest first."""
    from hypernode.cli.common import connect, table, when, write_json

    with connect() as client:
        found = list(client.governance.proposals(state=state))
    if json:
        write_json(found)
        return
    rows = [(one.id, one.state, one.kind, one.title, one.proposer, when(one.vote_ends_at)) for one in found]
    table(("PROPOSAL", "STATE", "KIND", "TITLE", "BY", "VOTE ENDS (UTC)"), rows)


def show(proposal: ProposalId, json: Json = False) -> None:
    """Show a proposal, with the votes of the project's own stakes."""
    from hypernode.cli.common import connect

    with connect() as client:
        _show(client.governance.proposal(proposal), json)


def vote(
    proposal: ProposalId,
    choice: Annotated[str, typer.Argument(metavar="CHOICE", help="for, against or abstain.")],
    stake: Annotated[str | None, typer.Option(help="With this stake only.")] = None,
    json: Json = False,
) -> None:
    """Vote with all of the project's stakes that have not voted, by the weight they had when the vote began."""
    from hypernode.cli.common import connect
    from hypernode.governance.proposals import Choice

    if choice not in list(Choice):
        raise typer.BadParameter("write for, against or abstain", param_hint="CHOICE")
    with connect() as client:
        _show(client.governance.vote(proposal, Choice(choice), stake), json)


def activate(proposal: ProposalId, json: Json = False) -> None:
    """Open the vote on a draft."""
    from hypernode.cli.common import connect

    with connect() as client:
        _show(client.governance.activate(proposal), json)


def cancel(proposal: ProposalId, json: Json = False) -> None:
    """Take a proposal of the project's own back, before its vote has ended."""
    from hypernode.cli.common import connect

    with connect() as client:
        _show(client.governance.cancel_proposal(proposal), json)


def finalize(proposal: ProposalId, json: Json = False) -> None:
    """Count the votes once the time is over. The coordinator does so by itself, too."""
    from hypernode.cli.common import connect

    with connect() as client:
        _show(client.governance.finalize(proposal), json)


def execute(proposal: ProposalId, json: Json = False) -> None:
    """Carry out what was decided, after the timelock. The coordinator does so by itself, too."""
    from hypernode.cli.common import connect

    with connect() as client:
        _show(client.governance.execute(proposal), json)


def parameters(json: Json = False) -> None:
    """List what votes may change: values, defaults, and the bounds that no vote can cross."""
    from hypernode.cli.common import connect, table, write_json

    with connect() as client:
        found = client.governance.parameters().items
    if json:
        write_json(found)
        return
    rows = [(one.name, one.value, one.default, one.lowest, one.highest, one.unit) for one in found]
    titles = ("NAME", "VALUE", "DEFAULT", "LOWEST", "HIGHEST", "UNIT")
    table(titles, rows, right=("VALUE", "DEFAULT", "LOWEST", "HIGHEST"))


def _show(proposal: ProposalView, json: bool) -> None:
    from hypernode.cli.common import fields, money, when, write_json

    if json:
        write_json(proposal)
        return
    fields(
        [
            ("proposal", proposal.id),
            ("title", proposal.title),
            ("by", proposal.proposer),
            ("kind", proposal.kind),
            ("does", _words(proposal)),
            ("state", proposal.state),
            ("for", money(proposal.votes_for)),
            ("against", money(proposal.votes_against)),
            ("abstain", money(proposal.votes_abstain)),
            ("quorum", f"{money(proposal.quorum)} of {money(proposal.total_weight)}"),
            ("vote ends", when(proposal.vote_ends_at)),
            ("executable", when(proposal.executable_at)),
            ("expires", when(proposal.expires_at)),
            *(("own vote", f"{vote.choice} {money(vote.weight)} ({vote.stake})") for vote in proposal.votes),
        ]
    )


def _words(proposal: ProposalView) -> str:
    """What a proposal does, in words."""
    from hypernode.cli.common import money

    payload = proposal.payload or {}
    if "parameters" in payload:
        return ", ".join(f"sets {name} to {value}" for name, value in payload["parameters"].items())
    if "amount" in payload:
        return f"pays {money(payload['amount'])} from {payload['fund']} to {payload['project_id']}"
    return ""
