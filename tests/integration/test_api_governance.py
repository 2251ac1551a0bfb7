"""Governance over HTTP: stakes that earn from real prices, proposals that change them, cases, burns."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest

from fakes.network import FUNDS, Network, problem, sse
from fakes.node import FakeNode
from hypernode.coordinator import keeper
from hypernode.governance import panels
from hypernode.governance.panels import Ballot
from hypernode.kernel.errors import FundTooSmall, SupplyExhausted
from hypernode.ledger.model import SUPPLY

HYPER = 1_000_000
SALT = b"\1" * 32
BOUNDS = "parameter.out_of_bounds"


@pytest.fixture(autouse=True)
def nothing_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """The coordinator's duties are done where a test says so, and not meanwhile."""
    monkeypatch.setattr(keeper, "GOVERNANCE_S", 3600.0)


async def opened(http: httpx.AsyncClient, amount: int = 100 * HYPER, days: int = 30) -> dict[str, Any]:
    answer = await http.post("/stakes", json={"amount": amount, "days": days})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def available(http: httpx.AsyncClient) -> int:
    found: int = (await http.get("/account")).json()["available"]
    return found


async def done(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code in (200, 201), answer.text
    found: dict[str, Any] = answer.json()
    return found


async def earlier(net: Network, table: str, column: str, days: int) -> None:
    """Time has passed: something began so many days before."""
    await net.pool.execute(f"update {table} set {column} = {column} - make_interval(days => $1)", days)


async def ran(net: Network, node: FakeNode | None = None) -> int:
    """A job ran for 10 s and was paid. Returns its price."""
    node = node or await net.node()
    await net.submit()
    lease = await net.start(node)
    await net.age(20)
    ack = await node.report(lease, wall_ms=10_000)
    assert ack.price is not None
    return ack.price


# ── stakes ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_life_of_a_stake(net: Network, http: httpx.AsyncClient) -> None:
    async with sse(http, "/events", "0.-1") as events:
        stake = await opened(http)
        assert (stake["weight"], stake["tier"], stake["state"]) == (124_657_534, "starter", "active")
        assert await available(http) == FUNDS - 100 * HYPER
        path = f"/stakes/{stake['id']}"
        grown = await done(await http.post(f"{path}/add", json={"amount": "900 HYPER"}))
        assert (grown["amount"], grown["weight"], grown["tier"]) == (1_000 * HYPER, 1_246_575_342, "bronze")
        problem(await http.post(f"{path}/withdraw"), 409, "stake.state")
        assert (await done(await http.post(f"{path}/unstake")))["weight"] == 0
        problem(await http.post(f"{path}/unstake"), 409, "stake.state")
        found = problem(await http.post(f"{path}/withdraw"), 409, "stake.cooling")
        assert 29 * 86_400 < found["extra"]["free_in_s"] <= 30 * 86_400
        await earlier(net, "stake", "free_at", 30)
        assert (await done(await http.post(f"{path}/withdraw")))["state"] == "withdrawn"
        assert await available(http) == FUNDS
        problem(await http.post(f"{path}/withdraw"), 409, "stake.state")
        kinds = [(await anext(events))["data"]["kind"] for _ in range(4)]
    assert kinds == ["stake.opened", "stake.added", "stake.unstaked", "stake.withdrawn"]
    lines = (await http.get("/account/statement")).json()["items"]
    assert [line["cause"] for line in lines] == ["withdrawal", "stake", "stake", "deposit"]
    await net.adds_up()


async def test_stakers_earn_from_prices_and_are_paid_once(net: Network, http: httpx.AsyncClient) -> None:
    mine, theirs = await opened(http), await opened(http, days=365)
    price = await ran(net)
    part = price // 100
    found = [item["claimable"] for item in (await http.get("/stakes")).json()["items"]]
    total = mine["weight"] + theirs["weight"]
    assert found == [part * theirs["weight"] // total, part * mine["weight"] // total]
    assert (await done(await http.get("/staking")))["waiting"] == part
    before = await available(http)
    claimed = await done(await http.post(f"/stakes/{theirs['id']}/claim"))
    assert claimed["claimed"] == found[0] == await available(http) - before and claimed["claimable"] == 0
    problem(await http.post(f"/stakes/{theirs['id']}/claim"), 409, "reward.nothing")
    late = await opened(http, days=365)
    problem(await http.post(f"/stakes/{late['id']}/claim"), 409, "reward.nothing")
    await net.adds_up()


async def test_what_came_before_anybody_staked_goes_to_the_first(net: Network, http: httpx.AsyncClient) -> None:
    part = await ran(net) // 100
    problem(await http.post("/staking/distribute"), 409, "stake.none")
    stake = await opened(http)
    shared = await done(await http.post("/staking/distribute"))
    assert (shared["waiting"], shared["held"]) == (0, part)
    assert part - 1 <= (await done(await http.post(f"/stakes/{stake['id']}/claim")))["claimed"] <= part


async def test_an_act_with_a_key_is_done_once(net: Network, http: httpx.AsyncClient) -> None:
    key = {"idempotency-key": "k"}
    twins = [http.post("/stakes", json={"amount": 5 * HYPER, "days": 30}, headers=key) for _ in range(4)]
    answers = await asyncio.gather(*twins)
    assert {answer.status_code for answer in answers} == {201} and len({answer.text for answer in answers}) == 1
    assert await available(http) == FUNDS - 5 * HYPER
    again = await http.post("/stakes", json={"amount": 6 * HYPER, "days": 30}, headers=key)
    problem(again, 409, "idempotency.mismatch")
    path = f"/stakes/{answers[0].json()['id']}"
    for _ in range(2):
        assert (await http.post(f"{path}/add", json={"amount": 7}, headers={"idempotency-key": "a"})).status_code == 200
        assert (await http.post(f"{path}/unstake", headers={"idempotency-key": "b"})).status_code == 200
    problem(await http.post(f"{path}/withdraw", headers={"idempotency-key": "b"}), 409, "idempotency.mismatch")
    assert await available(http) == FUNDS - 5 * HYPER - 7


async def test_nobody_touches_the_stake_of_another(
    net: Network, http: httpx.AsyncClient, other: httpx.AsyncClient
) -> None:
    path = f"/stakes/{(await opened(http))['id']}"
    assert (await other.get("/stakes")).json()["items"] == []
    problem(await other.get(path), 404, "not_found")
    problem(await other.post(f"{path}/add", json={"amount": 1}), 404, "not_found")
    for act in ("unstake", "withdraw", "claim"):
        problem(await other.post(f"{path}/{act}"), 404, "not_found")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"amount": 1, "days": 30}, 422, "stake.refused"),
        ({"amount": FUNDS + 1, "days": 30}, 402, "ledger.insufficient_funds"),
        ({"amount": 0, "days": 30}, 422, "input.invalid"),
        ({"amount": HYPER, "days": 13}, 422, "input.invalid"),
        ({"amount": HYPER, "days": 366}, 422, "input.invalid"),
        ({"amount": 1.5, "days": 30}, 422, "input.invalid"),
        ({"amount": HYPER, "days": 30, "weight": 5}, 422, "input.invalid"),
    ],
)
async def test_what_a_stake_cannot_be(http: httpx.AsyncClient, body: dict[str, Any], status: int, code: str) -> None:
    problem(await http.post("/stakes", json=body), status, code)
    assert await available(http) == FUNDS and (await http.get("/stakes")).json()["items"] == []


async def test_many_at_once_leave_every_sum_right(net: Network, http: httpx.AsyncClient) -> None:
    await ran(net)
    before = await available(http)
    stakes = await asyncio.gather(*(opened(http, (10 + number) * HYPER) for number in range(8)))
    acts = [http.post(f"/stakes/{stake['id']}/{act}") for stake in stakes for act in ("claim", "unstake", "claim")]
    await asyncio.gather(*acts)
    claimed = sum(item["claimed"] for item in (await http.get("/stakes")).json()["items"])
    assert await available(http) == before - sum(stake["amount"] for stake in stakes) + claimed
    assert (await done(await http.get("/staking")))["weight"] == 0
    await net.adds_up()


# ── proposals ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
async def whale(net: Network) -> httpx.AsyncClient:
    """A project with a stake that may propose."""
    await net.admin.deposit("operator", 400_000 * HYPER)
    http = net.http("operator")
    await opened(http, 300_000 * HYPER, 365)
    return http


async def decided(net: Network, http: httpx.AsyncClient, body: dict[str, Any]) -> dict[str, Any]:
    """A proposal that was voted for, and is due."""
    made = await done(await http.post("/governance/proposals", json={"title": "t", **body}))
    path = f"/governance/proposals/{made['id']}"
    problem(await http.post(f"{path}/finalize"), 409, "governance.too_early")
    voted = await done(await http.post(f"{path}/votes", json={"choice": "for"}))
    assert voted["votes_for"] == voted["total_weight"] and len(voted["votes"]) == 1
    problem(await http.post(f"{path}/votes", json={"choice": "against"}), 409, "proposal.voted")
    await earlier(net, "proposal", "activated_at", 3)
    problem(await http.post(f"{path}/votes", json={"choice": "for"}), 409, "governance.too_late")
    problem(await http.post(f"{path}/cancel"), 409, "governance.too_late")
    assert (await done(await http.post(f"{path}/finalize")))["state"] == "queued"
    problem(await http.post(f"{path}/execute"), 409, "governance.too_early")
    await earlier(net, "proposal", "queued_at", 1)
    found: dict[str, Any] = (await http.get(path)).json()
    return found


async def test_a_vote_changes_how_prices_of_later_jobs_are_split(
    net: Network, whale: httpx.AsyncClient, other: httpx.AsyncClient
) -> None:
    node = await net.node()
    open_job = await net.submit()
    lease = await net.start(node)
    change = {
        "kind": "market_parameter",
        "payload": {"parameters": {"market.stakers_bps": 500, "market.treasury_bps": 0}},
    }
    made = await decided(net, whale, change)
    executed = await done(await other.post(f"/governance/proposals/{made['id']}/execute"))
    assert executed["state"] == "executed"
    problem(await other.post(f"/governance/proposals/{made['id']}/execute"), 409, "proposal.state")
    listed = {item["name"]: item["value"] for item in (await other.get("/governance/parameters")).json()["items"]}
    assert listed["market.stakers_bps"] == 500 and listed["market.treasury_bps"] == 0
    await net.services.governance.keep()
    await net.age(20)
    old = await node.report(lease, wall_ms=10_000)
    kept = (await net.job(open_job["id"]))["shares"]
    assert kept == {"treasury_bps": 1000, "incentive_bps": 400, "stakers_bps": 100} == open_job["shares"]
    assert (old.price, old.earned) == (1_000, 850)
    new = await ran(net, node)
    balances = (await net.admin.ledger()).balances
    assert (balances["stakers"], balances["treasury"]) == (old.price // 100 + new * 5 // 100, old.price // 10)
    latest = (await net.http().get("/jobs")).json()["items"][0]["shares"]
    assert latest == {"treasury_bps": 0, "incentive_bps": 400, "stakers_bps": 500}


async def test_the_treasury_is_spent_by_votes_only(
    net: Network, whale: httpx.AsyncClient, other: httpx.AsyncClient
) -> None:
    node = await net.node()
    treasury = await ran(net, node) // 10
    project = (await other.get("/account")).json()["project_id"]
    wanted = {"kind": "treasury_spend", "payload": {"project_id": project, "amount": treasury + 1}}
    made = await decided(net, whale, wanted)
    problem(await whale.post(f"/governance/proposals/{made['id']}/execute"), 409, "fund.too_small")
    await ran(net, node)
    # Nobody needs to come: the coordinator carries out what is due.
    await net.pool.execute("update proposal set due_at = now()")
    await net.services.governance.keep()
    assert await available(other) == treasury + 1
    assert (await whale.get(f"/governance/proposals/{made['id']}")).json()["state"] == "executed"
    nobody = {**wanted, "title": "t", "payload": {"project_id": str(UUID(int=5)), "amount": 1}}
    problem(await whale.post("/governance/proposals", json=nobody), 404, "not_found")
    incentive = {"project_id": project, "amount": "0.00001 HYPER", "fund": "incentive"}
    paid = await decided(net, whale, {"kind": "treasury_spend", "payload": incentive})
    await done(await whale.post(f"/governance/proposals/{paid['id']}/execute"))
    assert await available(other) == treasury + 11
    await net.adds_up()


async def test_what_is_not_executed_in_time_expires(net: Network, whale: httpx.AsyncClient) -> None:
    made = await decided(net, whale, {"kind": "text"})
    await earlier(net, "proposal", "queued_at", 13)
    path = f"/governance/proposals/{made['id']}"
    problem(await whale.post(f"{path}/execute"), 409, "governance.too_late")
    await net.pool.execute("update proposal set due_at = now()")
    await net.services.governance.keep()
    assert (await whale.get(path)).json()["state"] == "expired"


async def test_a_draft_waits_for_its_proposer(net: Network, whale: httpx.AsyncClient, other: httpx.AsyncClient) -> None:
    made = await done(await whale.post("/governance/proposals", json={"kind": "text", "title": "t", "draft": True}))
    path = f"/governance/proposals/{made['id']}"
    problem(await whale.post(f"{path}/votes", json={"choice": "for"}), 409, "proposal.state")
    for act in ("activate", "cancel"):
        problem(await other.post(f"{path}/{act}"), 403, "auth.forbidden")
    assert (await done(await whale.post(f"{path}/activate")))["state"] == "active"
    assert (await done(await whale.post(f"{path}/cancel")))["state"] == "cancelled"
    found = (await whale.get("/governance/proposals", params={"state": "cancelled"})).json()["items"]
    assert [item["id"] for item in found] == [made["id"]]
    assert (await whale.get("/governance/proposals", params={"state": "active"})).json()["items"] == []


async def test_weight_that_comes_after_the_vote_began_does_not_vote(net: Network, whale: httpx.AsyncClient) -> None:
    made = await done(await whale.post("/governance/proposals", json={"kind": "text", "title": "t"}))
    await net.admin.deposit("other", 5_000 * HYPER)
    other = net.http("other")
    path = f"/governance/proposals/{made['id']}/votes"
    problem(await other.post(path, json={"choice": "against"}), 403, "proposal.no_weight")
    await opened(other, 5_000 * HYPER, 365)
    problem(await other.post(path, json={"choice": "against"}), 403, "proposal.no_weight")
    await opened(whale, 100 * HYPER, 365)
    voted = await done(await whale.post(path, json={"choice": "for"}))
    assert voted["votes_for"] == voted["total_weight"] == 1_200_000 * HYPER


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"kind": "program_upgrade", "payload": {}}, 403, "proposal.kind_unavailable"),
        ({"kind": "text", "payload": {"x": 1}}, 422, "input.invalid"),
        ({"kind": "text", "title": "x" * 101}, 422, "input.invalid"),
        ({"kind": "text", "title": "ü" * 51}, 422, "input.invalid"),
        ({"kind": "text", "title": "a\u202eb"}, 422, "input.invalid"),
        ({"kind": "war"}, 422, "input.invalid"),
        ({"kind": "market_parameter", "payload": {"parameters": {"market.treasury_bps": 2001}}}, 422, BOUNDS),
        ({"kind": "market_parameter", "payload": {"parameters": {"market.treasury_bps": 1600}}}, 422, BOUNDS),
        ({"kind": "staking_parameter", "payload": {"parameters": {"staking.nonsense": 5}}}, 422, BOUNDS),
        ({"kind": "staking_parameter", "payload": {"parameters": {}}}, 422, "input.invalid"),
        ({"kind": "staking_parameter", "payload": None}, 422, "input.invalid"),
        ({"kind": "treasury_spend", "payload": {"project_id": "x", "amount": 1}}, 422, "input.invalid"),
    ],
)  # fmt: skip
async def test_what_cannot_be_proposed(
    whale: httpx.AsyncClient, change: dict[str, Any], status: int, code: str
) -> None:
    problem(await whale.post("/governance/proposals", json={"title": "t", **change}), status, code)
    assert (await whale.get("/governance/proposals")).json()["items"] == []


async def test_who_may_not_propose(http: httpx.AsyncClient) -> None:
    body = {"kind": "text", "title": "t"}
    problem(await http.post("/governance/proposals", json=body), 404, "not_found")
    await opened(http)
    problem(await http.post("/governance/proposals", json=body), 403, "proposal.weight_too_low")


# ── cases ───────────────────────────────────────────────────────────────────────────────────────────────────────────


class Court:
    """A network with an accused and enough validators."""

    def __init__(self, net: Network) -> None:
        self.net = net
        self.projects: dict[str, httpx.AsyncClient] = {}

    async def prepare(self, judges: int) -> None:
        for number in range(judges):
            name = f"judge-{number}"
            project_id = await self.net.admin.create_project(name)
            self.net.keys[name] = await self.net.admin.create_key(name, "test")
            await self.net.admin.deposit(name, 10_000 * HYPER)
            http = self.net.http(name)
            await opened(http, 10_000 * HYPER, 30)
            insert = "insert into node (key, project_id, name) values ($1, $2, 'n')"
            await self.net.pool.execute(insert, str(project_id), project_id)
            self.projects[str(project_id)] = http
        await earlier(self.net, "node", "enrolled_at", 1)

    async def report(self, http: httpx.AsyncClient, **subject: str) -> dict[str, Any]:
        evidence = hashlib.sha256(b"what happened").hexdigest()
        return await done(
            await http.post("/governance/cases", json={"kind": "invalid_result", "evidence": evidence, **subject})
        )

    async def judge(self, case: dict[str, Any], ballots: list[Ballot]) -> dict[str, Any]:
        """A round: drawn, committed, revealed, counted."""
        path = f"/governance/cases/{case['id']}"
        some = next(iter(self.projects.values()))
        drawn = await done(await some.post(f"{path}/advance"))
        assert drawn["phase"] == "commit"
        seats = list(zip(drawn["panel"], ballots, strict=False))
        for seat, ballot in seats:
            voter = UUID(seat["project_id"]).bytes
            hidden = panels.commitment(ballot, SALT, UUID(case["id"]).bytes, drawn["round"], voter)
            http = self.projects[seat["project_id"]]
            await done(await http.post(f"{path}/commit", json={"commitment": hidden}))
            early = await http.post(f"{path}/reveal", json={"ballot": ballot, "salt": SALT.hex()})
            problem(early, 409, "governance.too_early")
        await earlier(self.net, "slashing_case", "drawn_at", 1)
        for seat, ballot in seats:
            http = self.projects[seat["project_id"]]
            wrong = await http.post(f"{path}/reveal", json={"ballot": ballot, "salt": "00" * 32})
            problem(wrong, 403, "case.wrong_reveal")
            await done(await http.post(f"{path}/reveal", json={"ballot": ballot, "salt": SALT.hex()}))
        problem(await some.post(f"{path}/advance"), 409, "governance.too_early")
        await earlier(self.net, "slashing_case", "drawn_at", 1)
        return await done(await some.post(f"{path}/advance"))


@pytest.fixture
async def court(net: Network) -> Court:
    court = Court(net)
    await court.prepare(4)
    return court


FOR, AGAINST = Ballot.FOR, Ballot.AGAINST


async def test_a_confirmed_report_is_slashed_after_the_time_to_appeal(
    net: Network, http: httpx.AsyncClient, court: Court
) -> None:
    node = await net.node()
    await net.admin.deposit("operator", 1_000 * HYPER)
    accused = net.http("operator")
    stake = await opened(accused, 1_000 * HYPER, 365)
    case = await court.report(http, node=node.key.public)
    assert case["stake"] == stake["id"] and case["role"] == "reporter" and await available(http) == FUNDS - 100 * HYPER
    path = f"/stakes/{stake['id']}"
    problem(await accused.post(f"{path}/add", json={"amount": 1}), 409, "stake.frozen")
    confirmed = await court.judge(case, [FOR, FOR, FOR, AGAINST])
    assert (confirmed["state"], confirmed["votes_for"], confirmed["votes_against"]) == ("confirmed", 3, 1)
    problem(await http.post(f"/governance/cases/{case['id']}/appeal"), 403, "auth.forbidden")
    problem(await http.post(f"/governance/cases/{case['id']}/advance"), 409, "governance.too_early")
    await earlier(net, "slashing_case", "confirmed_at", 8)
    problem(await accused.post(f"/governance/cases/{case['id']}/appeal"), 409, "governance.too_late")
    await net.pool.execute("update slashing_case set due_at = now()")
    await net.services.governance.keep()
    assert (await http.get(f"/governance/cases/{case['id']}")).json()["state"] == "executed"
    left = (await accused.get(path)).json()
    assert (left["amount"], left["reports"], left["weight"]) == (750 * HYPER, 0, 3_000 * HYPER)
    assert await available(http) == FUNDS + 25 * HYPER
    balances = (await net.admin.ledger()).balances
    assert (balances["burned"], balances["treasury"], balances["bonded"]) == (125 * HYPER, 100 * HYPER, 0)
    assert (await http.get("/burns")).json()["items"][0]["reference"] == "slashed"
    problem(await http.post(f"/governance/cases/{case['id']}/advance"), 409, "case.state")
    await net.adds_up()


async def test_a_dismissed_report_loses_its_bond_and_frees_the_stake(
    net: Network, http: httpx.AsyncClient, court: Court
) -> None:
    await net.admin.deposit("operator", 1_000 * HYPER)
    accused = net.http("operator")
    stake = await opened(accused, 1_000 * HYPER)
    case = await court.report(http, stake=stake["id"])
    path = f"/stakes/{stake['id']}"
    assert (await done(await accused.post(f"{path}/unstake")))["state"] == "unstaking"
    problem(await accused.post(f"{path}/withdraw"), 409, "stake.frozen")
    outsider = await http.post(f"/governance/cases/{case['id']}/commit", json={"commitment": "0" * 64})
    problem(outsider, 409, "case.state")
    assert (await court.judge(case, [FOR, FOR]))["state"] == "dismissed"
    assert (await net.admin.ledger()).balances["treasury"] == 100 * HYPER and await available(
        http
    ) == FUNDS - 100 * HYPER
    problem(await accused.post(f"{path}/withdraw"), 409, "stake.cooling")
    await earlier(net, "stake", "free_at", 365)
    problem(
        await http.post("/governance/cases", json={"kind": "timeout", "evidence": "0" * 64, "stake": stake["id"]}),
        409, "stake.state",
    )  # fmt: skip
    assert (await done(await accused.post(f"{path}/withdraw")))["state"] == "withdrawn"


async def test_reports_unseat_no_judge(net: Network, http: httpx.AsyncClient, court: Court) -> None:
    await net.admin.deposit("operator", 1_000 * HYPER)
    stake = await opened(net.http("operator"), 1_000 * HYPER)
    case = await court.report(http, stake=stake["id"])
    for judge in court.projects.values():
        (theirs,) = (await judge.get("/stakes")).json()["items"]
        await court.report(http, stake=theirs["id"])
    drawn = await done(await http.post(f"/governance/cases/{case['id']}/advance"))
    assert {seat["project_id"] for seat in drawn["panel"]} == set(court.projects)


async def test_an_appeal_goes_to_others(net: Network, http: httpx.AsyncClient, court: Court) -> None:
    await net.admin.deposit("operator", 1_000 * HYPER)
    accused = net.http("operator")
    stake = await opened(accused, 1_000 * HYPER)
    case = await court.report(http, stake=stake["id"])
    await court.judge(case, [FOR, FOR, FOR, FOR])
    await done(await accused.post(f"/governance/cases/{case['id']}/appeal"))
    problem(await accused.post(f"/governance/cases/{case['id']}/appeal"), 409, "case.state")
    again = await done(await http.post(f"/governance/cases/{case['id']}/advance"))
    assert (again["round"], again["panel"]) == (2, []), "all four sat on the first panel, and nobody else may judge"
    await earlier(net, "slashing_case", "drawn_at", 2)
    assert (await done(await http.post(f"/governance/cases/{case['id']}/advance")))["state"] == "upheld"


async def test_nobody_is_kept_from_a_panel_by_reporting_them(
    net: Network, http: httpx.AsyncClient, court: Court
) -> None:
    await net.admin.deposit("operator", 1_000 * HYPER)
    stake = await opened(net.http("operator"), 1_000 * HYPER)
    case = await court.report(http, stake=stake["id"])
    for judge in court.projects.values():
        await court.report(http, stake=(await judge.get("/stakes")).json()["items"][0]["id"])
    assert (await court.judge(case, [AGAINST] * 4))["state"] == "dismissed"
    found = (await http.get(f"/governance/cases/{case['id']}")).json()
    assert {seat["project_id"] for seat in found["panel"]} == set(court.projects)


async def test_reports_that_cannot_be(net: Network, http: httpx.AsyncClient, other: httpx.AsyncClient) -> None:
    stake = await opened(http)
    body = {"kind": "timeout", "evidence": "0" * 64}
    problem(await http.post("/governance/cases", json=body), 422, "input.invalid")
    both = {**body, "stake": stake["id"], "node": "1" * 43}
    problem(await http.post("/governance/cases", json=both), 422, "input.invalid")
    problem(await http.post("/governance/cases", json={**body, "node": "1" * 43}), 404, "not_found")
    problem(await http.post("/governance/cases", json={**body, "stake": str(UUID(int=1))}), 404, "not_found")
    problem(
        await other.post("/governance/cases", json={**body, "stake": stake["id"]}), 402, "ledger.insufficient_funds"
    )
    node = await net.node()
    problem(await http.post("/governance/cases", json={**body, "node": node.key.public}), 404, "not_found")
    assert (await http.get(f"/stakes/{stake['id']}")).json()["reports"] == 0


# ── supply ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_burns_are_recorded_for_everyone_to_see(net: Network, http: httpx.AsyncClient) -> None:
    for amount in (5, 7):
        await done(await http.post("/burns", json={"amount": amount, "reference": f"n{amount}"}))
    problem(await http.post("/burns", json={"amount": FUNDS}), 402, "ledger.insufficient_funds")
    problem(await http.post("/burns", json={"amount": 1, "reference": "x" * 33}), 422, "input.invalid")
    stranger = net.http(None)
    page = (await stranger.get("/burns", params={"limit": 1})).json()
    assert [(item["index"], item["amount"], item["cumulative"]) for item in page["items"]] == [(1, 7, 12)]
    page = (await stranger.get("/burns", params={"cursor": page["next"]})).json()
    assert [(item["index"], item["reference"]) for item in page["items"]] == [(0, "n5")] and page["next"] is None
    supply = (await stranger.get("/supply")).json()
    assert supply["issued"] == FUNDS and supply["burned"] == 12
    assert supply["supply"] == FUNDS - 12 == sum(supply["balances"].values())


async def test_unlocks_come_cycle_by_cycle(net: Network, http: httpx.AsyncClient, other: httpx.AsyncClient) -> None:
    problem(await http.post("/unlocks"), 409, "unlock.not_due")
    assert await net.admin.begin_vesting() == 84_603_487 * HYPER
    first = await done(await http.post("/unlocks"))
    assert (first["amount"], first["burned"], first["stakers"]) == (6768279 * HYPER, 1353655_800_000, 2030483_700_000)
    found = problem(await http.post("/unlocks"), 409, "unlock.not_due")
    assert found["extra"]["due_in_s"] > 29 * 86_400
    await earlier(net, "vesting", "start_at", 61)
    for _ in range(3):
        await net.services.governance.keep()
    supply = (await http.get("/supply")).json()
    assert [item["cycle"] for item in supply["unlocks"]] == [0, 1, 2]
    assert supply["balances"]["operations"] == sum(item["operations"] for item in supply["unlocks"])
    assert [item["cycle"] for item in (await http.get("/burns")).json()["items"]] == [2, 1, 0]
    await net.admin.spend_operations("other", supply["balances"]["operations"])
    assert await available(other) == supply["balances"]["operations"]
    with pytest.raises(FundTooSmall):
        await net.admin.spend_operations("other", 1)
    await net.adds_up()


async def test_there_is_no_more_than_the_supply(net: Network) -> None:
    with pytest.raises(SupplyExhausted):
        await net.admin.deposit("client", SUPPLY)
    await net.admin.deposit("client", SUPPLY - FUNDS)
    with pytest.raises(SupplyExhausted):
        await net.admin.deposit("client", 1)
    with pytest.raises(SupplyExhausted):
        await net.admin.begin_vesting()


async def test_the_database_holds_it_together(net: Network, http: httpx.AsyncClient) -> None:
    await opened(http)
    await done(await http.post("/burns", json={"amount": 5}))
    move = "insert into transfer (debit, credit, amount, cause) select d.id, c.id, 1, 'x' from account d, account c"
    for statement in (
        f"{move} where d.kind = 'burned' and c.kind = 'treasury'",
        "update governance set staked = staked + 1",
        "update governance set bonded = 1",
        "update governance set held = 1, distributed = 1",
        "update governance set paid = 1",
        "insert into governance default values",
        "update stake set amount = -1",
        "update stake set state = 'withdrawn', free_at = now(), weight = 0",
        "update stake set state = 'unstaking'",
        "delete from stake",
        "delete from burn",
        "update burn set amount = 4",
        "insert into burn (index, at, cycle, amount, cumulative, reference) values (1, now(), 0, 5, 4, '')",
        "insert into vesting (start_at, cycles, left_amount) values (now(), 13, 0)",
    ):
        with pytest.raises(asyncpg.IntegrityConstraintViolationError):
            await net.pool.execute(statement)
    await net.adds_up()
