"""Server-sent events: logs over all attempts, events of a project; on resuming nothing is skipped, nothing repeated."""

import asyncio
import base64
from contextlib import AsyncExitStack

import httpx
import pytest

from fakes.network import Network, problem, sse
from fakes.node import log_bytes
from hypernode.kernel import limits
from hypernode.ledger.receipt import Outcome


async def take(events, count: int) -> list[dict]:
    """The next events of a stream."""
    async with asyncio.timeout(20):
        return [await anext(events) for _ in range(count)]


async def rest(events) -> list[dict]:
    """The events of a stream to its end."""
    async with asyncio.timeout(20):
        return [event async for event in events]


def texts(events: list[dict]) -> list[tuple[int, bytes]]:
    return [(e["data"]["epoch"], base64.b64decode(e["data"]["data"])) for e in events if e["event"] == "log"]


async def test_a_log_is_followed_over_all_attempts_to_its_end(net: Network, http: httpx.AsyncClient) -> None:
    job_id = (await net.submit(retries={"failures": 1}))["id"]
    path = f"/jobs/{job_id}/logs/stream"
    async with sse(http, path) as early:  # before there is a node
        node = await net.node()
        lease = await net.start(node)
        await node.log(lease.lease, log_bytes("one"))
        (first,) = await take(early, 1)
        assert first["event"] == "log" and texts([first]) == [(1, b"one")]
        assert first["data"]["stream"] == 1 and first["data"]["task"] == 0 and first["data"]["at_ms"] > 0
        await node.log(lease.lease, log_bytes("two", "three"))
        await node.report(lease, exit_code=1)
        await net.hurry()
        second = await net.start(node)
        await node.log(second.lease, log_bytes("four"))
        await node.report(second)
        others = await rest(early)
    everything = [first, *others]
    assert texts(everything) == [(1, b"one"), (1, b"two"), (1, b"three"), (2, b"four")]
    assert everything[-1]["event"] == "end" and everything[-1]["data"] == {"task": 0, "state": "succeeded"}
    assert len({event["id"] for event in everything}) == len(everything)
    for index, event in enumerate(everything):
        async with sse(http, path, event["id"]) as again:
            assert await rest(again) == everything[index + 1 :] or event["event"] == "end"
    async with sse(http, path) as late:  # starts at the newest attempt
        assert texts(await rest(late)) == [(2, b"four")]


async def test_a_frame_in_pieces_is_one_event(net: Network, http: httpx.AsyncClient) -> None:
    node = await net.node()
    job_id = (await net.submit())["id"]
    lease = await net.start(node)
    data = log_bytes("x" * 100, "y")
    async with sse(http, f"/jobs/{job_id}/logs/stream") as events:
        for start in range(0, len(data), 9):
            await node.log(lease.lease, data[start : start + 9])
        assert texts(await take(events, 2)) == [(1, b"x" * 100), (1, b"y")]
        await node.report(lease)
        assert [event["event"] for event in await rest(events)] == ["end"]


async def test_following_a_task_that_never_ran(net: Network, http: httpx.AsyncClient) -> None:
    job_id = (await net.submit(array={"size": 2}))["id"]
    async with sse(http, f"/jobs/{job_id}/logs/stream?task=1") as events:
        await http.post(f"/jobs/{job_id}/cancel")
        (end,) = await rest(events)
    assert end["event"] == "end" and end["data"] == {"task": 1, "state": "cancelled"}


async def test_the_log_of_a_lost_attempt_is_followed_by_that_of_the_next(net: Network, http: httpx.AsyncClient) -> None:
    node = await net.node()
    job_id = (await net.submit())["id"]
    lease = await net.start(node)
    async with sse(http, f"/jobs/{job_id}/logs/stream") as events:
        await node.log(lease.lease, log_bytes("before"))
        await take(events, 1)
        await node.disconnect()
        await node.connect()
        await net.event(job_id, "task.lost")
        await net.hurry()
        lease = await net.start(node)
        await node.log(lease.lease, log_bytes("after"))
        assert texts(await take(events, 1)) == [(2, b"after")]


async def test_garbage_in_a_log_harms_nobody(net: Network, http: httpx.AsyncClient) -> None:
    node = await net.node()
    job_id = (await net.submit())["id"]
    lease = await net.start(node)
    async with sse(http, f"/jobs/{job_id}/logs/stream") as events:
        await node.log(lease.lease, log_bytes("fine") + b"\xff" * 100)
        assert texts(await take(events, 1)) == [(1, b"fine")]
        assert (await node.report(lease)).code == ""
        assert [event["event"] for event in await rest(events)] == ["end"]
    assert (await http.get(f"/jobs/{job_id}/logs")).content == node.logs[lease.lease]


async def test_positions_that_nobody_gave_are_refused(net: Network, http: httpx.AsyncClient) -> None:
    job_id = (await net.submit())["id"]
    for path in (f"/jobs/{job_id}/logs/stream", "/events", f"/events?job={job_id}"):
        for position in ("x", "1", "1.", ".1", "-1.0", "1.-2", "1.2.3", "9" * 25 + ".1", "\xb2.1"):
            answer = await http.get(path, headers={b"last-event-id": position.encode("latin-1")})
            problem(answer, 422, "input.invalid")
        problem(await http.get(path, headers={"last-event-id": "1" * 65}), 400, "input.malformed")


async def test_events_tell_every_transition_once_and_resume_anywhere(net: Network, http: httpx.AsyncClient) -> None:
    node = await net.node()
    job_id = (await net.submit(retries={"failures": 1}))["id"]
    await node.report(await net.start(node), exit_code=1)
    await net.hurry()
    lease = await net.start(node)
    await http.post(f"/jobs/{job_id}/cancel")
    await node.report(lease, outcome=Outcome.CANCELLED, exit_code=None, signal=15)
    kinds = [
        "job.submitted",
        "task.leased",
        "task.running",
        "task.retried",
        "task.leased",
        "task.running",
        "task.accepted",
        "job.ended",
    ]
    async with sse(http, f"/events?job={job_id}") as events:
        everything = await take(events, len(kinds))
    assert [event["event"] for event in everything] == kinds
    assert all(event["data"]["job_id"] == job_id and event["data"]["kind"] == event["event"] for event in everything)
    assert [event["data"]["epoch"] for event in everything] == [None, 1, 1, 1, 2, 2, 2, None]
    for index in range(len(kinds) - 1):
        async with sse(http, f"/events?job={job_id}", everything[index]["id"]) as again:
            assert await take(again, len(kinds) - index - 1) == everything[index + 1 :]


async def test_no_event_is_skipped_or_told_twice_while_transactions_are_open(
    net: Network, http: httpx.AsyncClient
) -> None:
    """A transaction that writes an event early and commits it late: readers who have gone on since must still get it.
    This is what reading by a sequence or a time alone gets wrong."""
    project = await net.pool.fetchval("select id from project where name = 'client'")
    insert = "insert into event (project_id, kind) values ($1, $2)"
    seen: list[dict] = []

    async def reader() -> None:
        """Breaks off after every third event, and resumes."""
        position: str | None = start
        while True:
            async with sse(net.http(), "/events", position) as events:
                for _ in range(3):
                    event = await anext(events)
                    seen.append(event)
                    position = event["id"]
                    if len(seen) == 30:
                        return

    start = await net.services.jobs.feed.position()
    reading = asyncio.create_task(reader())
    written = []
    async with AsyncExitStack() as stack:
        slow = await stack.enter_async_context(net.pool.acquire())
        for round_ in range(5):
            await slow.execute("begin")
            await slow.execute(insert, project, f"slow.{round_}")
            for n in range(5):
                await net.pool.execute(insert, project, f"fast.{round_}.{n}")
                written.append(f"fast.{round_}.{n}")
            net.services.jobs._hints.events.give([project])
            await slow.execute("commit")
            written.append(f"slow.{round_}")
            net.services.jobs._hints.events.give([project])
    async with asyncio.timeout(20):
        await reading
    assert sorted(event["event"] for event in seen) == sorted(written)
    assert len({event["id"] for event in seen}) == 30


async def test_an_event_of_an_open_transaction_is_not_told(net: Network, http: httpx.AsyncClient) -> None:
    project = await net.pool.fetchval("select id from project where name = 'client'")
    insert = "insert into event (project_id, kind) values ($1, $2)"
    async with sse(http, "/events") as events:
        async with net.pool.acquire() as connection:
            await connection.execute("begin")
            await connection.execute(insert, project, "undone")
            await connection.execute("rollback")
            await connection.execute("begin")
            await connection.execute(insert, project, "late")
            await net.pool.execute(insert, project, "early")
            await connection.execute("commit")
        assert {event["event"] for event in await take(events, 2)} == {"late", "early"}


async def test_streams_of_a_project_are_bounded(
    net: Network, http: httpx.AsyncClient, other: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STREAMS_PER_PROJECT", 2)
    async with AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(sse(net.http(), "/events")) for _ in range(2)]
        await net.submit(cap=1)
        for events in streams:
            await take(events, 1)  # it is being read
        answer = await http.get("/events")
        assert problem(answer, 429, "server.overloaded")["retryable"] and answer.headers["retry-after"]
        async with sse(other, "/events"):
            pass
    async with asyncio.timeout(20):
        while True:  # those who left are noticed when there is something to send
            await net.submit(cap=1)
            async with http.stream("GET", "/events") as answer:
                if answer.status_code == 200:
                    break
