"""A coordinator within the test's own process, over real HTTP and a real database."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx

from fakes.node import CAPABILITIES, WAIT_S, FakeNode, uuid_of
from hypernode.coordinator.admin import Admin
from hypernode.coordinator.serve import Running, coordinator
from hypernode.coordinator.services import Services
from hypernode.coordinator.settings import Settings
from hypernode.kernel.keys import KeyPair
from hypernode.nodes.model import Ask, Capabilities
from hypernode.protocol import messages

FUNDS = 1_000_000_000

# Heartbeats are the tests' own: none is missed, however slow the machine.
LEASE_MS = 60_000
HEARTBEAT_MS = 60_000


class Network:
    """A coordinator with two projects: `client` with money, `operator` whom its nodes earn for; and a third, `other`,
    who has nothing to do with either."""

    def __init__(self, url: str, services: Services) -> None:
        self.url = url
        self.services = services
        self.pool = services.pool
        self.admin = Admin(services.pool)
        self.keys: dict[str, str] = {}
        self.nodes: list[FakeNode] = []
        self._clients: list[httpx.AsyncClient] = []

    async def prepare(self) -> None:
        """Make the projects."""
        for name in ("client", "operator", "other"):
            await self.admin.create_project(name)
            self.keys[name] = await self.admin.create_key(name, "test")
        await self.admin.deposit("client", FUNDS)

    def http(self, project: str | None = "client") -> httpx.AsyncClient:
        """A client with a project's key."""
        headers = {"authorization": f"Bearer {self.keys[project]}"} if project else {}
        client = httpx.AsyncClient(base_url=self.url + "/api/v1", headers=headers, timeout=WAIT_S)
        self._clients.append(client)
        return client

    async def close(self) -> None:
        """Close what tests opened."""
        for node in self.nodes:
            await node.disconnect()
        for client in self._clients:
            await client.aclose()

    async def node(
        self,
        name: str = "fake",
        *,
        capabilities: Capabilities = CAPABILITIES,
        ask: Ask = Ask(100),  # noqa: B008  frozen
        key: KeyPair | None = None,
        connect: bool = True,
    ) -> FakeNode:
        """A node that has enrolled and, unless told otherwise, connected."""
        node = FakeNode(self.url, key=key, name=name, capabilities=capabilities, ask=ask)
        await node.enrol(await self.join_token())
        self.nodes.append(node)
        if connect:
            await node.connect()
        return node

    async def join_token(self, project: str = "operator", valid_s: int = 3600) -> str:
        """A fresh join token."""
        projects = {row.name: UUID(row.id) for row in await self.admin.projects()}
        return (await self.services.nodes.join_token(projects[project], valid_s)).token

    async def submit(self, **changes: Any) -> dict[str, Any]:
        """Submit a job, in order unless changed."""
        answer = await self.http().post("/jobs", json=job(**changes))
        assert answer.status_code == 201, answer.text
        view: dict[str, Any] = answer.json()
        return view

    async def job(self, job_id: str) -> dict[str, Any]:
        """A job as its client sees it."""
        answer = await self.http().get(f"/jobs/{job_id}")
        assert answer.status_code == 200, answer.text
        view: dict[str, Any] = answer.json()
        return view

    async def tasks(self, job_id: str) -> list[dict[str, Any]]:
        """The first page of a job's tasks."""
        answer = await self.http().get(f"/jobs/{job_id}/tasks")
        assert answer.status_code == 200, answer.text
        items: list[dict[str, Any]] = answer.json()["items"]
        return items

    async def event(self, job_id: str, kind: str, epoch: int | None = None, task: int | None = None) -> dict[str, Any]:
        """Return when an event of a job has happened, with it."""
        async with asyncio.timeout(WAIT_S), sse(self.http(), f"/events?job={job_id}") as events:
            async for event in events:
                data: dict[str, Any] = event["data"]
                if event["event"] == kind and epoch in (None, data["epoch"]) and task in (None, data["task"]):
                    return data
        raise AssertionError(f"the stream ended before {kind}")

    async def start(self, node: FakeNode) -> messages.Lease:
        """A node takes its next task; returns when the coordinator knows that it runs."""
        lease = await node.start()
        await self.event(str(uuid_of(lease.lease)), "task.running", lease.lease.epoch, lease.lease.task)
        return lease

    async def adds_up(self) -> None:
        """The ledger is consistent, and nothing was paid that no settlement explains."""
        summary = await self.admin.ledger()
        assert summary.consistent and summary.total == 0, summary
        wrong = await self.pool.fetch(
            """select j.id, j.spent, s.settled, j.held, t.escrow from job j
               left join lateral (select coalesce(sum(price), 0)::bigint as settled from settlement
                                  where job_id = j.id) s on true
               left join lateral (select coalesce(sum(case when e.id = credit then amount else -amount end), 0)::bigint
                                  as escrow from transfer join account e on e.kind = 'escrow'
                                  and e.project_id = j.project_id and e.id in (debit, credit)
                                  where job_id = j.id) t on true
               where j.spent <> s.settled or j.held <> t.escrow"""
        )
        assert not wrong, wrong

    async def hurry(self) -> None:
        """What waits for its backoff is ready now."""
        await self.pool.execute("update queue set ready_at = clock_timestamp()")
        self.services.scheduler._hints.ready.give()

    async def expire(self, node: FakeNode) -> None:
        """The node's lease is over by the database's clock, as when nothing was heard of it for so long."""
        over = "update node_life set alive_until = clock_timestamp() - interval '1 second' where node = $1"
        session = self.services.sessions.get(node.key.public)
        if session is not None:
            session.heard = False
            await self.services.keeper._renew()  # what was heard before may be on its way to the database
        await self.pool.execute(over, node.key.public)

    async def age(self, seconds: int) -> None:
        """All that runs began so much earlier."""
        await self.pool.execute(
            "update attempt set started_at = started_at - make_interval(secs => $1)", float(seconds)
        )


def job(**changes: Any) -> dict[str, Any]:
    """A job document; a change to None leaves the field out."""
    document = {
        "version": 1,
        "runtime": {"type": "python", "code": "print('hello')"},
        "cap": 1_000_000,
        "timeout_s": 60,
        "outputs": ["*"],
        **changes,
    }
    return {name: value for name, value in document.items() if value is not None}


@asynccontextmanager
async def network(dsn: str, data: Path, **settings: Any) -> AsyncIterator[Network]:
    """A coordinator that serves on loopback, for as long as the block lasts."""
    ready: asyncio.Future[Running] = asyncio.get_running_loop().create_future()
    chosen = {"lease_ms": LEASE_MS, "heartbeat_ms": HEARTBEAT_MS, "pool_size": 6, **settings}
    async with coordinator(Settings(data=data, dsn=dsn, port=0, plain=True, **chosen), ready.set_result) as server:
        server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]  # they are pytest's
        serving = asyncio.create_task(server.serve())
        either: list[asyncio.Future[Any]] = [ready, serving]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            await serving
            raise AssertionError("the coordinator did not start")
        running = ready.result()
        net = Network(running.settings.url, running.services)
        try:
            yield net
        finally:
            await net.close()
            server.should_exit = True
            await serving


@asynccontextmanager
async def sse(
    http: httpx.AsyncClient, path: str, last_event_id: str | None = None
) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
    """The events of a stream, each with `id`, `event` and decoded `data`."""
    headers = {} if last_event_id is None else {"last-event-id": last_event_id}
    async with http.stream("GET", path, headers=headers) as answer:
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield _events(answer)


async def _events(answer: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    event: dict[str, Any] = {}
    async for line in answer.aiter_lines():
        if not line and event:
            yield event
            event = {}
        elif line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            event[name] = json.loads(value) if name == "data" else value


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Check that an answer is this problem, in form and content, and return it."""
    assert answer.status_code == status, (answer.status_code, answer.text)
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["code"] == code and body["status"] == status, body
    assert body["type"] == f"urn:hypernode:problem:{code}" and body["title"], body
    return body
