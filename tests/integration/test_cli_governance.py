"""Governance on the command line, against a real coordinator: stake, propose, vote, judge, burn."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from fakes.network import Network
from hypernode.cli import main
from hypernode.cli.failures import EXIT_ERROR
from hypernode.coordinator import keeper
from integration.test_api_governance import HYPER, Court, earlier

Run = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture(autouse=True)
def nothing_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """The coordinator's duties are done where a test says so, and not meanwhile."""
    monkeypatch.setattr(keeper, "GOVERNANCE_S", 3600.0)


@pytest.fixture
def hypernode(net: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs a command for a project, all of them on one machine. Returns its exit code, what it printed, and what it
    said."""
    monkeypatch.setenv("HYPERNODE_URL", net.url)
    monkeypatch.setenv("HYPERNODE_CONFIG", str(tmp_path / "config" / "config.json"))
    monkeypatch.setattr(sys, "stdin", io.StringIO())

    async def run(*words: str, project: str = "client") -> tuple[int, str, str]:
        monkeypatch.setenv("HYPERNODE_API_KEY", net.keys[project])
        monkeypatch.setattr(sys, "argv", ["hypernode", *words])
        with pytest.raises(SystemExit) as left:
            await asyncio.to_thread(main)  # the coordinator it speaks to runs in this one
        out, err = capfd.readouterr()
        assert "Traceback" not in err, err
        code = left.value.code
        return code if isinstance(code, int) else 0, out, err

    return run


async def asked(hypernode: Run, *words: str, project: str = "client") -> Any:
    """What a command answers with --json."""
    code, out, err = await hypernode(*words, "--json", project=project)
    assert code == 0, err
    return json.loads(out)


async def test_staking(net: Network, hypernode: Run) -> None:
    code, out, err = await hypernode("stake", "open", "100 HYPER", "--days", "30")
    assert code == 0 and "124.657534 HYPER of weight (starter)" in err
    stake = out.strip()
    assert (await asked(hypernode, "stake", "add", stake, "5 HYPER"))["amount"] == 105 * HYPER
    (listed,) = await asked(hypernode, "stake", "list")
    assert listed["id"] == stake
    assert (await hypernode("stake", "list"))[1].splitlines()[1].startswith(stake)
    assert (await hypernode("stake", "claim"))[1] == "nothing to claim\n"
    assert (await asked(hypernode, "stake", "unstake", stake))["state"] == "unstaking"
    code, _, err = await hypernode("stake", "withdraw", stake)
    assert code == EXIT_ERROR and "the stake is free at 20" in err and "stake.cooling" in err
    code, _, err = await hypernode("stake", "unstake", stake)
    assert code == EXIT_ERROR and "hint: an active stake is ended with" in err
    assert (await asked(hypernode, "stake", "network"))["staked"] == 105 * HYPER
    code, _, err = await hypernode("stake", "open", "100", "--days", "30")
    assert code == 2 and "with its unit" in err


async def test_proposing_and_voting(net: Network, hypernode: Run) -> None:
    await net.admin.deposit("client", 300_000 * HYPER)
    await hypernode("stake", "open", "300000 HYPER", "--days", "365")
    code, out, err = await hypernode("gov", "propose", "Longer locks", "--set", "staking.shortest_days=30")
    assert code == 0 and "the vote is open until" in err
    proposal = out.strip()
    voted = await asked(hypernode, "gov", "vote", proposal, "for")
    assert voted["votes_for"] == 1_200_000 * HYPER
    assert (await asked(hypernode, "gov", "list", "--state", "active"))[0]["id"] == proposal
    await earlier(net, "proposal", "activated_at", 3)
    assert (await asked(hypernode, "gov", "finalize", proposal, project="other"))["state"] == "queued"
    await earlier(net, "proposal", "queued_at", 1)
    assert (await asked(hypernode, "gov", "execute", proposal, project="other"))["state"] == "executed"
    found = {item["name"]: item for item in await asked(hypernode, "gov", "parameters")}
    assert found["staking.shortest_days"]["value"] == 30
    shown = (await hypernode("gov", "show", proposal))[1]
    assert "Longer locks" in shown and "sets staking.shortest_days to 30" in shown
    payee = str((await asked(hypernode, "whoami"))["project_id"])
    spend = (await hypernode("gov", "propose", "Thanks", "--pay", payee, "--amount", "5 HYPER"))[1].strip()
    assert f"pays 5 HYPER from treasury to {payee}" in (await hypernode("gov", "show", spend))[1]
    code, _, err = await hypernode("gov", "finalize", spend)
    assert code == EXIT_ERROR and "the vote is open until 20" in err
    code, _, err = await hypernode("stake", "open", "1 HYPER", "--days", "14")
    assert code == EXIT_ERROR and "stake.refused" in err
    for words in (
        ("--set", "x"),
        ("--set", "a=b"),
        ("--set", "staking.shortest_days=30", "--set", "market.stakers_bps=200"),
        ("--pay", "x"),
        ("--from", "incentive"),
        ("--set", "a=1", "--pay", "x", "--amount", "1 HYPER"),
    ):
        assert (await hypernode("gov", "propose", "t", *words))[0] == 2, words
    for command in (("gov", "vote", proposal, "for"), ("gov", "propose", "t"), ("gov", "case", "list")):
        code, _, err = await hypernode(*command, "--stake", "nonsense")
        assert code == EXIT_ERROR and "stake" in err and "input." in err, err
    draft = (await hypernode("gov", "propose", "t", "--draft"))[1].strip()
    assert (await asked(hypernode, "gov", "cancel", draft))["state"] == "cancelled"


async def test_judging(net: Network, hypernode: Run, tmp_path: Path) -> None:
    court = Court(net)
    await court.prepare(4)
    await net.admin.deposit("other", 100 * HYPER)
    stake = (await hypernode("stake", "open", "100 HYPER", "--days", "30", project="other"))[1].strip()
    evidence = tmp_path / "evidence"
    evidence.write_bytes(b"what happened")
    assert (await hypernode("gov", "case", "report", "rudeness", "--evidence", str(evidence), "--stake", stake))[0] == 2
    code, out, err = await hypernode("gov", "case", "report", "forgery", "--evidence", str(evidence), "--stake", stake)
    assert code == 0 and "100 HYPER of bond" in err
    case = out.strip()
    await asked(hypernode, "gov", "case", "advance", case)
    code, _, err = await hypernode("gov", "case", "vote", case, "against", project="other")
    assert code == EXIT_ERROR and "case.not_on_panel" in err
    assert not list(tmp_path.glob("config/votes/*")), "who does not judge keeps no vote"
    judge_id = (await asked(hypernode, "whoami", project="judge-0"))["project_id"]
    for judge, ballot in enumerate(("for", "for", "for", "against")):
        code, _, err = await hypernode("gov", "case", "vote", case, ballot, project=f"judge-{judge}")
        assert code == 0 and "reveal it between" in err
    code, _, err = await hypernode("gov", "case", "vote", case, "against", project="judge-0")
    assert code == EXIT_ERROR and "was kept before" in err
    assert (await hypernode("gov", "case", "reveal", case))[0] == EXIT_ERROR
    (kept,) = tmp_path.glob(f"config/votes/{case}.1.{judge_id}.json")
    vote = kept.read_bytes()
    kept.write_bytes(vote.replace(b'"salt":"', b'"salt":"x'))
    code, _, err = await hypernode("gov", "case", "reveal", case, project="judge-0")
    assert code == EXIT_ERROR and str(kept) in err
    kept.write_bytes(vote)
    await earlier(net, "slashing_case", "drawn_at", 1)
    for judge in range(4):
        assert (await hypernode("gov", "case", "reveal", case, project=f"judge-{judge}"))[0] == 0
    await earlier(net, "slashing_case", "drawn_at", 1)
    confirmed = await asked(hypernode, "gov", "case", "advance", case)
    assert (confirmed["state"], confirmed["votes_for"], confirmed["votes_against"]) == ("confirmed", 3, 1)
    await earlier(net, "slashing_case", "confirmed_at", 8)
    assert (await asked(hypernode, "gov", "case", "advance", case))["state"] == "executed"
    (left,) = await asked(hypernode, "stake", "list", project="other")
    assert left["amount"] == 50 * HYPER
    assert (await asked(hypernode, "gov", "case", "list", "--stake", stake))[0]["role"] == "reporter"


async def test_burning(net: Network, hypernode: Run) -> None:
    assert (await hypernode("burn", "1 HYPER"))[0] != 0, "nobody was there to confirm it"
    code, out, _ = await hypernode("burn", "1 HYPER", "--reference", "thanks", "--yes")
    assert code == 0 and out == "burned 1 HYPER; 1 HYPER in all\n"
    (burn,) = await asked(hypernode, "burns")
    assert (burn["amount"], burn["reference"]) == (HYPER, "thanks")
    assert (await asked(hypernode, "supply"))["burned"] == HYPER
    assert "burned" in (await hypernode("supply"))[1]


async def test_vesting(net: Network, hypernode: Run, database: str) -> None:
    admin = ("admin", "--dsn", database)
    assert (await hypernode(*admin, "vesting"))[0] != 0, "nobody was there to confirm it"
    code, out, _ = await hypernode(*admin, "vesting", "--yes")
    assert code == 0 and out == "84,603,487 HYPER locked\n"
    assert "next unlock" in (await hypernode("supply"))[1]
    assert "amount      6,768,279 HYPER" in (await hypernode(*admin, "unlock"))[1]
    code, _, err = await hypernode(*admin, "unlock")
    assert code == EXIT_ERROR and "the next cycle is due at 20" in err
    assert (await hypernode(*admin, "operations", "client", "1 HYPER"))[1] == "1 HYPER paid to client\n"
    code, _, err = await hypernode(*admin, "operations", "client", "9000000 HYPER")
    assert code == EXIT_ERROR and "hint: 'hypernode supply'" in err
    await net.adds_up()
