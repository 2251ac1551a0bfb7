"""Looking at jobs: pages, filters, tasks, cancelling, logs and explanations."""

import asyncio
import hashlib
from typing import Any
from uuid import uuid4

import httpx
import msgspec

from fakes.network import FUNDS, Network, job, problem
from fakes.node import CAPABILITIES, log_bytes
from hypernode.jobs.logs import FrameReader
from hypernode.ledger.receipt import Outcome
from hypernode.protocol import messages


async def pages(http: httpx.AsyncClient, path: str, **query: Any) -> list[dict]:
    """All items of a listing, page by page."""
    items: list[dict] = []
    cursor: str | None = None
    while True:
        answer = await http.get(path, params={**query, **({"cursor": cursor} if cursor else {})})
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert len(page["items"]) <= int(str(query.get("limit", 50)))
        items += page["items"]
        cursor = page["next"]
        if cursor is None:
            return items


async def test_pages_of_jobs_are_newest_first_and_complete(net: Network, http: httpx.AsyncClient) -> None:
    made = [(await net.submit(name=f"n{n}", cap=1))["id"] for n in range(7)]
    for limit in (1, 2, 3, 7, 8):
        assert [item["id"] for item in await pages(http, "/jobs", limit=limit)] == made[::-1]
    first = (await http.get("/jobs?limit=3")).json()
    late = (await net.submit(cap=1))["id"]  # made while somebody turns pages: on none of the later ones
    rest = (await http.get("/jobs", params={"limit": 200, "cursor": first["next"]})).json()["items"]
    assert [item["id"] for item in first["items"] + rest] == made[::-1] and late not in str(rest)
    assert "document" not in first["items"][0] or first["items"][0]["document"] is None


async def test_filters_of_jobs(net: Network, http: httpx.AsyncClient) -> None:
    async def names(**query: Any) -> list[str]:
        return [item["name"] for item in await pages(http, "/jobs", **query)]

    await net.submit(name="a", cap=1, labels={"team": "x", "run": "1"})
    await net.submit(name="b", cap=1, labels={"team": "x", "run": "2:3"})
    gone = await net.submit(name="c", cap=1, labels={"team": "y"})
    await http.post(f"/jobs/{gone['id']}/cancel")
    assert await names(label="team:x") == ["b", "a"]
    assert await names(label=["team:x", "run:2:3"]) == ["b"]
    assert await names(label="team:z") == [] and await names(label="run:2") == []
    assert await names(state="queued") == ["b", "a"] and await names(state="cancelled") == ["c"]
    assert await names(name="a", state="queued") == ["a"] and await names(name="a", state="failed") == []
    for wrong in ("team", ":x"):
        problem(await http.get("/jobs", params={"label": wrong}), 422, "input.invalid")


async def test_cursors_that_nobody_gave_are_refused(net: Network, http: httpx.AsyncClient) -> None:
    job_id = (await net.submit(array={"size": 3}, cap=1))["id"]
    for path in ("/jobs", f"/jobs/{job_id}/tasks", f"/jobs/{job_id}/receipts", "/account/statement", "/nodes"):
        for cursor in ("-5", "x", "9" * 60, "1.x", "1.99999999999999999999", "\x00", "é", "-1.-1", "1" * 201, " "):
            answer = await http.get(path, params={"cursor": cursor})
            assert answer.status_code in (200, 400, 422), (path, cursor, answer.text)
            assert all(item.get("index", 0) >= 0 for item in answer.json().get("items", []))
    for path in (f"/jobs/{job_id}/tasks", f"/jobs/{job_id}/receipts", "/account/statement", "/jobs"):
        problem(await http.get(path, params={"cursor": "x"}), 422, "input.invalid")


async def test_tasks_of_an_array_page_by_page(net: Network, http: httpx.AsyncClient) -> None:
    node = await net.node(capabilities=msgspec.structs.replace(CAPABILITIES, slots=3))
    job_id = (await net.submit(array={"size": 7}, cap=10_000, retries={"infrastructure": 0}))["id"]
    leases = sorted([await node.start() for _ in range(3)], key=lambda lease: lease.lease.task)
    assert [lease.lease.task for lease in leases] == [0, 1, 2]
    await node.report(leases[0])
    await node.say(messages.Refuse(leases[1].lease, "node.broken", "a \x00 detail"))
    await net.event(job_id, "task.lost")
    for limit in (1, 2, 7, 50):
        tasks = await pages(http, f"/jobs/{job_id}/tasks", limit=limit)
        assert [task["index"] for task in tasks] == list(range(7))
    states = [task["state"] for task in tasks]
    assert states[:2] == ["succeeded", "expired"]
    assert tasks[0]["exit_code"] == 0 and tasks[0]["outcome"] == "exited"
    assert tasks[1]["attempts"][0]["cause"] == "node.broken" and tasks[1]["attempts"][0]["price"] == 0
    for state in ("queued", "leased", "running", "succeeded", "expired", "cancelled"):
        filtered = await pages(http, f"/jobs/{job_id}/tasks", limit=2, state=state)
        now = await pages(http, f"/jobs/{job_id}/tasks")
        assert [t["index"] for t in filtered] == [t["index"] for t in now if t["state"] == state]


async def test_what_is_not_there_is_not_found(net: Network, http: httpx.AsyncClient) -> None:
    nobody, job_id = uuid4(), (await net.submit(array={"size": 2}, cap=1))["id"]
    for path in ("", "/tasks", "/explain", "/logs", "/logs/stream", "/receipts"):
        problem(await http.get(f"/jobs/{nobody}{path}"), 404, "not_found")
    problem(await http.post(f"/jobs/{nobody}/cancel"), 404, "not_found")
    for path in ("/logs", "/logs/stream"):
        problem(await http.get(f"/jobs/{job_id}{path}?task=2"), 404, "not_found")
    problem(await http.get(f"/jobs/{job_id}/logs?epoch=1"), 404, "not_found")
    problem(await http.get(f"/events?job={nobody}"), 404, "not_found")


async def test_cancelling_what_waits_ends_it_and_refunds_all(net: Network, http: httpx.AsyncClient) -> None:
    job_id = (await net.submit(array={"size": 5}, cap=1000))["id"]
    view = (await http.post(f"/jobs/{job_id}/cancel")).json()
    assert view["state"] == "cancelled" and view["tasks"]["cancelled"] == 5 and view["held"] == 0 and view["ended_at"]
    assert (await http.get("/account")).json()["available"] == FUNDS
    again = await http.post(f"/jobs/{job_id}/cancel")
    assert again.status_code == 200 and again.json() == view
    await net.adds_up()


async def test_cancelling_what_runs_waits_for_the_node(net: Network, http: httpx.AsyncClient) -> None:
    node = await net.node()
    job_id = (await net.submit(array={"size": 6}, cap=1_000_000))["id"]
    leases = [await net.start(node) for _ in range(4)]
    await net.age(10)
    view = (await http.post(f"/jobs/{job_id}/cancel")).json()
    assert view["state"] == "running" and view["tasks"] == {
        "queued": 0,
        "live": 4,
        "succeeded": 0,
        "failed": 0,
        "cancelled": 2,
        "expired": 0,
    }
    told = {(await node.next(messages.Cancel)).lease for _ in range(4)}
    assert told == {lease.lease for lease in leases}
    ack = await node.report(leases[0], outcome=Outcome.CANCELLED, exit_code=None, signal=9, wall_ms=5000)
    assert (ack.code, ack.price) == ("", 500)
    ack = await node.report(leases[1], exit_code=0)  # it was done before it heard
    assert ack.code == "" and ack.price == 100
    await node.say(messages.Refuse(leases[2].lease, "cancelled", "it had not begun"))
    await node.next(messages.ReportAck, lambda ack: ack.lease == leases[2].lease)
    assert (await node.report(leases[3], exit_code=1)).code == ""
    view = await net.job(job_id)
    assert view["state"] == "cancelled" and view["spent"] == 700 and view["held"] == 0
    assert [view["tasks"][state] for state in ("succeeded", "failed", "cancelled")] == [1, 1, 4]
    assert (await http.get("/account")).json()["available"] == FUNDS - 700
    await net.adds_up()


async def test_what_has_ended_cannot_be_cancelled(net: Network, http: httpx.AsyncClient) -> None:
    node = await net.node()
    job_id = (await net.submit())["id"]
    await node.finish()
    found = problem(await http.post(f"/jobs/{job_id}/cancel"), 409, "job.ended")
    assert "succeeded" in found["detail"]


async def test_the_raw_log_is_what_the_node_sent(net: Network, http: httpx.AsyncClient) -> None:
    node = await net.node()
    job_id = (await net.submit(retries={"failures": 1}))["id"]
    empty = await http.get(f"/jobs/{job_id}/logs")
    assert empty.status_code == 200 and empty.content == b""
    lease = await net.start(node)
    await node.log(lease.lease, log_bytes("one ", "two"))
    first = node.logs[lease.lease]
    part = await http.get(f"/jobs/{job_id}/logs")
    assert part.content == first and part.headers["content-type"] == "application/octet-stream"
    await node.log(lease.lease, log_bytes(" three"))
    whole = await http.get(f"/jobs/{job_id}/logs?offset={len(first)}")
    assert first + whole.content == node.logs[lease.lease]
    assert [f.data for f in FrameReader().feed(first + whole.content)] == [b"one ", b"two", b" three"]
    await node.report(lease, exit_code=1)
    await net.hurry()
    second = await net.start(node)
    await node.log(second.lease, log_bytes("again"))
    assert (await http.get(f"/jobs/{job_id}/logs")).content == node.logs[second.lease]
    assert (await http.get(f"/jobs/{job_id}/logs?epoch=1")).content == node.logs[lease.lease]
    assert (await http.get(f"/jobs/{job_id}/logs?offset=1000000")).content == b""
    await node.report(second)
    receipts = (await http.get(f"/jobs/{job_id}/receipts")).json()["items"]
    roots = [receipt["body"]["run"]["log_root"] for receipt in receipts]
    for epoch, root in enumerate(roots, 1):
        content = (await http.get(f"/jobs/{job_id}/logs?epoch={epoch}")).content
        assert hashlib.sha256(content).hexdigest() == root


async def explained(http: httpx.AsyncClient, job_id: str) -> str:
    answer = await http.get(f"/jobs/{job_id}/explain")
    assert answer.status_code == 200, answer.text
    return "\n".join(answer.json()["sentences"])


async def test_explaining_a_job_that_waits(net: Network, http: httpx.AsyncClient) -> None:
    job_id = (await net.submit(resources={"memory_bytes": "1TiB"}))["id"]
    text = await explained(http, job_id)
    assert "1 HYPER went into escrow" in text and "no node is online" in text and "1 HYPER are held" in text
    node = await net.node()
    answer = (await http.get(f"/jobs/{job_id}/explain")).json()
    assert "1 TiB of memory asked for, 8 GiB offered" in "\n".join(answer["sentences"])
    assert answer["excluded"][0]["code"] == "memory"
    small = msgspec.structs.replace(CAPABILITIES, slots=1)
    await node.disconnect()
    await net.expire(node)
    node = await net.node("busy", capabilities=small)
    await net.submit()
    await node.lease()
    waiting = (await net.submit())["id"]
    assert "the one suitable node has no room" in await explained(http, waiting)


async def test_explaining_what_happened(net: Network, http: httpx.AsyncClient) -> None:
    node = await net.node()
    job_id = (await net.submit(retries={"infrastructure": 1, "failures": 1}))["id"]
    lease = await net.start(node)
    await net.age(10)
    await node.report(lease, exit_code=3, wall_ms=2000)
    await net.hurry()
    await net.start(node)
    await net.expire(node)
    await net.event(job_id, "task.lost", 2)
    await node.disconnect()
    await node.connect()
    await net.hurry()
    lease = await net.start(node)
    await net.age(10)
    assert (await node.report(lease, wall_ms=3000)).price == 300
    text = await explained(http, job_id)
    for part in (
        "Attempt 1 was leased to node",
        "Attempt 1 started running on node",
        "Attempt 1 failed: the process ended",
        "It was paid 0.0002 HYPER, and the task is tried again after 1 s",
        "Attempt 2 gave no result: its node gave no sign of life for a whole lease. Nobody was paid",
        "Attempt 3 ended: the process ended with exit code 0; the task succeeded. 0.0003 HYPER were paid for 3 s",
        "0.9995 HYPER went back",
        "The job succeeded",
        "It cost 0.0005 HYPER of at most 1 HYPER",
    ):
        assert part in text, (part, text)


async def test_explaining_a_cancel_and_an_expiry(net: Network, http: httpx.AsyncClient) -> None:
    job_id = (await net.submit(array={"size": 2}))["id"]
    await http.post(f"/jobs/{job_id}/cancel")
    assert "2 waiting tasks were cancelled; 2 HYPER went back" in await explained(http, job_id)
    node = await net.node()
    job_id = (await net.submit(retries={"infrastructure": 0}))["id"]
    lease = await node.lease()
    await node.say(messages.Refuse(lease.lease, "node.environment", "no space left"))
    await net.event(job_id, "job.ended")
    text = await explained(http, job_id)
    assert "(no space left). Nobody was paid; the task expired" in text and "The job expired" in text


async def test_lists_while_jobs_come_and_go(net: Network, http: httpx.AsyncClient) -> None:
    """Nothing is on two pages of one listing, however busy it is meanwhile."""

    async def submit() -> None:
        for _ in range(10):
            await net.submit(cap=1)

    async def look() -> list[str]:
        return [item["id"] for item in await pages(http, "/jobs", limit=3)]

    answers = await asyncio.gather(submit(), *(look() for _ in range(5)))
    for ids in answers[1:]:
        assert ids is not None and len(ids) == len(set(ids)) and ids == sorted(ids, reverse=True)
    assert (await http.post("/jobs", json=job(cap=1))).status_code == 201
