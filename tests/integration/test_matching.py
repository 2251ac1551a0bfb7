"""Who is next and where, over the real queue: projects take turns, priorities count, retries keep their place, and
`explain` says what stands before a job that waits."""

import asyncio
from unittest.mock import AsyncMock

import httpx
import msgspec
import pytest

from fakes.network import Network, job, sse
from fakes.node import CAPABILITIES, WAIT_S, FakeNode, uuid_of
from hypernode.db.bulk import COPY_ROWS
from hypernode.protocol import messages

ONE_SLOT = msgspec.structs.replace(CAPABILITIES, slots=1)


async def submit(http: httpx.AsyncClient, **changes: object) -> str:
    answer = await http.post("/jobs", json=job(outputs=(), **changes))
    assert answer.status_code == 201, answer.text
    job_id: str = answer.json()["id"]
    return job_id


async def order(node: FakeNode, tasks: int) -> list[tuple[str, int]]:
    """Run so many tasks, one after the other: their jobs and indices."""
    done = []
    for _ in range(tasks):
        lease = await node.start()
        done.append((str(uuid_of(lease.lease)), lease.lease.task))
        assert (await node.report(lease)).code == ""
    return done


async def explained(net: Network, job_id: str) -> str:
    sentences: list[str] = (await net.http().get(f"/jobs/{job_id}/explain")).json()["sentences"]
    return sentences[-2]


async def test_a_project_with_an_array_does_not_hold_up_another(net: Network) -> None:
    await net.admin.deposit("other", 10**9)
    array = await submit(net.http(), array={"size": 50})
    single = await submit(net.http("other"))
    two = await net.node(capabilities=msgspec.structs.replace(CAPABILITIES, slots=2))
    first, second = await two.start(), await two.start()
    assert {str(uuid_of(one.lease)) for one in (first, second)} == {array, single}


async def test_a_look_at_the_queue_is_shared_out_between_those_who_wait(net: Network) -> None:
    await net.admin.deposit("other", 10**9)
    for _ in range(8):
        await submit(net.http())
    leases = net.services._leases
    assert len(await leases.ready([], 6)) == 6  # alone, a project has all of it
    for _ in range(2):
        await submit(net.http("other"))
    both = await leases.ready([], 6)
    projects = [one.project for one in both]
    assert sorted(projects.count(project) for project in set(projects)) == [2, 3]
    assert len(await leases.ready([], 1)) == 2  # but one of each


async def test_what_comes_in_where_nothing_waits_is_known_without_a_look(
    net: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    leases = net.services._leases
    look = AsyncMock(side_effect=leases._lines.look)
    monkeypatch.setattr(leases._lines, "look", look)
    assert await leases.ready([], 6) == []
    first, second = await submit(net.http(), array={"size": 3}, priority=1), await submit(net.http())
    handed = await leases.ready([], 6)
    assert [str(one.job_id) for one in handed] == [first, second] and look.await_count == 1
    assert await leases.ready([], 6) == handed and look.await_count == 2  # exactly what a look finds
    third = await submit(net.http(), priority=2)
    assert [str(one.job_id) for one in await leases.ready([], 6)] == [third, first, second]
    assert look.await_count == 3


async def test_only_a_look_tells_whose_turn_it_is_when_anything_waits_or_is_not_known(
    net: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    leases = net.services._leases
    look = AsyncMock(side_effect=leases._lines.look)
    monkeypatch.setattr(leases._lines, "look", look)
    await submit(net.http())
    await net.pool.execute("update queue set ready_at = clock_timestamp() + interval '1 hour'")
    assert await leases.ready([], 6) == []  # but there is a line
    fresh = await submit(net.http())
    assert [str(one.job_id) for one in await leases.ready([], 6)] == [fresh] and look.await_count == 2
    await net.pool.execute("delete from queue")
    assert await leases.ready([], 6) == []
    many = {"jobs": [job(outputs=())] * COPY_ROWS}
    assert (await net.http().post("/jobs/batch", json=many)).status_code == 201
    assert len(await leases.ready([], 100)) == COPY_ROWS and look.await_count == 4


async def test_priority_orders_the_jobs_of_a_project(net: Network) -> None:
    jobs = [await submit(net.http(), name=f"p{priority}", priority=priority) for priority in (-1, 0, 0, 2)]
    node = await net.node(capabilities=ONE_SLOT)
    assert [job_id for job_id, _ in await order(node, 4)] == [jobs[3], jobs[1], jobs[2], jobs[0]]


async def test_a_task_that_is_tried_again_comes_before_the_rest_of_its_array(net: Network) -> None:
    array = await submit(net.http(), array={"size": 4})
    node = await net.node(capabilities=ONE_SLOT)
    lease = await node.start()
    again = asyncio.create_task(net.event(array, "task.lost"))
    await node.say(messages.Refuse(lease.lease, "node.broken", ""))
    await again
    between = await node.start()  # while it backs off, the next one runs
    await net.hurry()
    await node.report(between)
    assert await order(node, 3) == [(array, 0), (array, 2), (array, 3)]


async def test_a_job_runs_only_where_the_labels_it_asks_for_are(net: Network) -> None:
    await net.node("us", capabilities=msgspec.structs.replace(CAPABILITIES, labels={"zone": "us"}))
    job_id = await submit(net.http(), node_labels={"zone": "eu"})
    assert "has not the label zone=eu (leave zone out of node_labels" in await explained(net, job_id)
    eu = await net.node("eu", capabilities=msgspec.structs.replace(CAPABILITIES, labels={"zone": "eu"}))
    assert str(uuid_of((await eu.lease()).lease)) == job_id


async def test_explain_says_what_stands_before_a_job(net: Network) -> None:
    await net.admin.deposit("other", 10**9)
    node = await net.node(capabilities=ONE_SLOT)
    await submit(net.http())
    await net.start(node)
    await submit(net.http(), array={"size": 3})
    await submit(net.http("other"))
    last = await submit(net.http())
    said = await explained(net, last)
    assert said.startswith(
        "A task waits: the one suitable node has no room at the moment. 3 tasks of this project come "
    )
    assert "1 other project waits, too; whoever holds the smallest share of the network is next." in said
    assert "The first task on a suitable node ends by " in said


async def test_explain_says_when_a_task_is_tried_again(net: Network) -> None:
    node = await net.node(capabilities=ONE_SLOT)
    job_id = await submit(net.http())
    lease = await node.start()
    await node.say(messages.Refuse(lease.lease, "node.broken", ""))
    await net.event(job_id, "task.lost")
    await net.pool.execute("update queue set ready_at = clock_timestamp() + interval '1 hour'")
    assert (await explained(net, job_id)).startswith("A task waits: it is tried again at ")


async def test_a_node_that_lost_its_connection_is_not_offered(net: Network, http: httpx.AsyncClient) -> None:
    node = await net.node()
    assert len((await http.post("/quotes", json=job())).json()["eligible"]) == 1
    async with asyncio.timeout(WAIT_S), sse(net.http("operator"), "/events") as events:
        await node.disconnect()
        async for event in events:
            if event["event"] == "node.offline":
                break
    quote = (await http.post("/quotes", json=job())).json()
    assert quote["eligible"] == [] and [one["code"] for one in quote["excluded"]] == ["disconnected"]
    job_id = await submit(http)  # its leases run on, so what it costs is still known, and work may wait for it
    assert "has lost its connection (wait until it is back)" in await explained(net, job_id)
    await node.connect()
    assert str(uuid_of((await node.lease()).lease)) == job_id
