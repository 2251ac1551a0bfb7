"""`hypernode node:doctor`: which limits this machine can prove, and how to get the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypernode.cli import common
from hypernode.cli.node_options import HomeOption, JsonOption

if TYPE_CHECKING:
    import typer

    from hypernode.agent.doctor import Diagnosis, Finding, Host


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("node:doctor")(doctor)


def doctor(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Attack every sandbox this machine has, and say which limits held and how to get the rest.

    Needs no node yet, and disturbs none that runs. Exits with 1 if nothing here could run a stranger's job.
    """
    import asyncio

    from hypernode.agent.doctor import examine
    from hypernode.agent.home import Home

    def progress(name: str) -> None:
        common.say(f"trying {name} …")

    found = asyncio.run(examine(Home(home), progress))
    if as_json:
        common.write_json(found)
    else:
        _show(found)
    if found.isolation == 0:
        raise SystemExit(1)


def _show(found: Diagnosis) -> None:
    from hypernode.agent.doctor import LIMITS

    common.fields(_host(found.host))
    print()
    common.table(
        ("SANDBOX", "LEVEL", "RUNS", "EGRESS", "SECONDS"),
        [_row(finding) for finding in found.sandboxes],
        right=("LEVEL", "SECONDS"),
    )
    print()
    proved = [finding for finding in found.sandboxes if finding.offer is not None and finding.offer.proved]
    if proved:
        common.table(
            ("PROVED", *(finding.name for finding in proved)),
            [(limit, *("yes" if _holds(finding, limit) else "NO" for finding in proved)) for limit in LIMITS],
        )
        print()
    for line in found.remedies:
        print(f"- {common.clean(line)}")


def _host(host: Host) -> list[tuple[str, object]]:
    return [
        ("system", f"{host.distribution or 'unknown distribution'}, {host.system}, {host.architecture}"),
        ("user", "root" if host.root else "an ordinary one"),
        ("cgroups", host.cgroups or "none"),
        ("user namespaces", _yes(host.user_namespaces)),
        ("Landlock", f"version {host.landlock}" if host.landlock else "no"),
        ("loop devices", _yes(host.loop_devices)),
        ("KVM", _yes(host.kvm)),
    ]


def _row(finding: Finding) -> tuple[str, str, str, str, str]:
    offer = finding.offer
    if offer is None:
        return finding.name, "-", "not here", "", ""
    return (
        finding.name,
        str(offer.isolation),
        ", ".join(offer.runtimes) or "nothing",
        _yes(offer.egress),
        f"{finding.seconds:.1f}",
    )


def _holds(finding: Finding, limit: str) -> bool:
    return finding.offer is not None and limit in finding.offer.proved


def _yes(value: bool) -> str:
    return "yes" if value else "no"
