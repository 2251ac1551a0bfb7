"""Accounts, statements that add up line by line, receipts that anyone can check."""

import base64

import httpx
import msgspec
import pytest

from fakes.network import FUNDS, Network, problem
from fakes.node import log_bytes
from hypernode.kernel.errors import BadSignature
from hypernode.ledger.receipt import Receipt, verify


async def statement(http: httpx.AsyncClient, limit: int) -> list[dict]:
    lines: list[dict] = []
    cursor: str | None = None
    while True:
        params: dict[str, str | int] = {"limit": limit, **({"cursor": cursor} if cursor else {})}
        page = (await http.get("/account/statement", params=params)).json()
        lines += page["items"]
        cursor = page["next"]
        if cursor is None:
            return lines


def check(lines: list[dict], available: int, escrow: int) -> None:
    """Newest first, every balance follows from the one before by the amount, and it begins at nothing."""
    balances = {"available": available, "escrow": escrow}
    for line in lines:
        assert line["balance"] == balances[line["account"]], line
        balances[line["account"]] -= line["amount"]
    assert balances == {"available": 0, "escrow": 0}


async def test_a_statement_adds_up_line_by_line_over_pages(net: Network, http: httpx.AsyncClient) -> None:
    node = await net.node()
    await net.submit(array={"size": 3}, cap=10_000)
    for _ in range(3):
        await net.start(node)
    await net.age(20)
    await net.submit(cap=6_000)
    cancelled = await net.submit(cap=7_000)
    await http.post(f"/jobs/{cancelled['id']}/cancel")
    account = (await http.get("/account")).json()
    for limit in (1, 2, 3, 50):
        check(await statement(http, limit), account["available"], account["escrow"])
    assert {line["cause"] for line in await statement(http, 50)} == {"deposit", "hold", "refund"}


async def test_a_project_whose_own_node_works_for_it(net: Network, http: httpx.AsyncClient) -> None:
    """Money goes in circles: paid from the project's escrow to its own available account, less the fees."""
    from fakes.node import FakeNode

    node = FakeNode(net.url)
    await node.enrol(await net.join_token("client"))
    net.nodes.append(node)
    await node.connect()
    job_id = (await net.submit())["id"]
    lease = await net.start(node)
    await net.age(20)
    ack = await node.report(lease, wall_ms=10_000)
    assert ack.price == 1000 and ack.earned == 850
    account = (await http.get("/account")).json()
    assert account == {
        "project_id": account["project_id"],
        "project": "client",
        "available": FUNDS - 150,
        "escrow": 0,
        "earned": 850,
        "spent": 1000,
    }
    for limit in (1, 2, 50):
        lines = await statement(http, limit)
        check(lines, account["available"], account["escrow"])
        assert sum(line["amount"] for line in lines if line["job_id"] == job_id) == -150
    await net.adds_up()


async def test_who_gets_what(net: Network, http: httpx.AsyncClient) -> None:
    node = await net.node()
    job_id = (await net.submit(cap=1_000_000))["id"]
    lease = await net.start(node)
    await net.age(20)
    ack = await node.report(lease, wall_ms=9_999)
    assert ack.price == 999 and ack.earned == 999 - 99 - 39 - 9
    balances = (await net.admin.ledger()).balances
    assert balances == {
        "available": FUNDS - 999 + 852,
        "escrow": 0,
        "issuance": -FUNDS,
        "treasury": 99,
        "incentive": 39,
        "stakers": 9,
        **dict.fromkeys(("staked", "bonded", "vesting", "operations", "burned"), 0),
    }
    operator = (await net.http("operator").get("/account")).json()
    assert operator["available"] == 852 and operator["earned"] == 852 and operator["spent"] == 0
    check(await statement(net.http("operator"), 1), 852, 0)
    lines = await statement(http, 50)
    assert [(line["cause"], line["amount"]) for line in lines if line["account"] == "escrow"][:5] == [
        ("refund", -999_001),
        ("fee_stakers", -9),
        ("fee_incentive", -39),
        ("fee_treasury", -99),
        ("payment", -852),
    ]
    assert {line["job_id"] for line in lines} == {job_id, None}
    mine = (await net.http("operator").get(f"/nodes/{node.key.public}")).json()
    assert mine["earned"] == 852 and mine["own"]
    assert (await http.get(f"/nodes/{node.key.public}")).json()["earned"] is None


async def test_a_deposit_has_bounds(net: Network) -> None:
    from hypernode.kernel import limits
    from hypernode.kernel.errors import InvalidInput

    for amount in (0, -1, limits.MICRO_HYPER + 1):
        with pytest.raises(InvalidInput):
            await net.admin.deposit("client", amount)
    await net.adds_up()


async def test_receipts_page_by_page_verify_offline(net: Network, http: httpx.AsyncClient) -> None:
    node = await net.node()
    job_id = (await net.submit(array={"size": 4}, retries={"failures": 1}, outputs=["out.bin"]))["id"]
    for _ in range(4):
        lease = await net.start(node)
        await node.log(lease.lease, log_bytes(f"task {lease.lease.task}"))
        output = await node.upload(lease.lease, b"result %d" % lease.lease.task)
        first = lease.lease.task == 0 and lease.lease.epoch == 1
        ack = await node.report(lease, outputs=[] if first else [output], exit_code=int(first))
        assert ack.code == "", ack
    await net.hurry()
    lease = await net.start(node)
    assert (lease.lease.task, lease.lease.epoch) == (0, 2)
    await node.report(lease, outputs=[await node.upload(lease.lease, b"again")])
    receipts: list[Receipt] = []
    cursor = None
    while True:
        params = {"limit": 2, **({"cursor": cursor} if cursor else {})}
        answer = await http.get(f"/jobs/{job_id}/receipts", params=params)
        page = answer.json()
        receipts += msgspec.json.decode(msgspec.json.encode(page["items"]), type=list[Receipt])
        cursor = page["next"]
        if cursor is None:
            break
    assert [(r.body.work.task, r.body.run.epoch) for r in receipts] == [(0, 1), (0, 2), (1, 1), (2, 1), (3, 1)]
    network = (await net.http(None).get("/network")).json()
    for receipt in receipts:
        verify(receipt, node.key.public, network["coordinator_key"])
        assert receipt.body.run.job_id == job_id
        assert receipt.decision.coordinator in network["coordinators"]
    forged = msgspec.structs.replace(receipts[0], node_signature=receipts[1].node_signature)
    with pytest.raises(BadSignature):
        verify(forged)
    with pytest.raises(BadSignature):
        verify(receipts[0], node_key=network["coordinator_key"])
    outputs = [t["outputs"][0] for t in (await http.get(f"/jobs/{job_id}/tasks")).json()["items"]]
    for index, output in enumerate(outputs):
        data = (await http.get(f"/artifacts/{output['sha256']}")).content
        assert data == (b"again" if index == 0 else b"result %d" % index)
    assert base64.b64encode(receipts[0].node_signature)
    problem(await http.get(f"/jobs/{job_id}/receipts?cursor=1.99999999999"), 422, "input.invalid")
    await net.adds_up()
