"""What those who run a coordinator ask it: alive, ready, counters; and what clients get while the database is away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx

from fakes.network import Network, job, network, problem


class Door:
    """A TCP port in front of PostgreSQL that can be shut."""

    def __init__(self, dsn: str) -> None:
        parts = urlsplit(dsn)
        self._socket = parse_qs(parts.query)["host"][0] + "/.s.PGSQL.5432"
        self._name = parts.path.lstrip("/")
        self._open = True
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0

    @property
    def dsn(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{self._name}?sslmode=disable"

    def shut(self) -> None:
        """Break all connections and take no more."""
        self._open = False
        for writer in list(self._writers):
            writer.transport.abort()

    def open(self) -> None:
        """Take connections again."""
        self._open = True

    async def pass_through(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        if not self._open:
            writer.transport.abort()
            return
        inner_reader, inner_writer = await asyncio.open_unix_connection(self._socket)
        self._writers |= {writer, inner_writer}
        try:
            await asyncio.gather(_copy(reader, inner_writer), _copy(inner_reader, writer))
        finally:
            self._writers -= {writer, inner_writer}


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.transport.abort()


@asynccontextmanager
async def door(dsn: str) -> AsyncIterator[Door]:
    """A door for as long as the block lasts."""
    door = Door(dsn)
    server = await asyncio.start_server(door.pass_through, "127.0.0.1", 0)
    door.port = server.sockets[0].getsockname()[1]
    try:
        yield door
    finally:
        door.shut()
        server.close()


async def test_alive_ready_and_counting(net: Network) -> None:
    node = await net.node()
    await net.submit()
    await node.finish()
    async with httpx.AsyncClient(base_url=net.url) as http:
        for path, text in (("/healthz", "ok\n"), ("/readyz", "ready\n")):
            answer = await http.get(path)
            assert (answer.status_code, answer.text) == (200, text)
        answer = await http.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain")
        assert "hypernode_nodes_connected 1.0" in answer.text and "hypernode_leases_total 1.0" in answer.text
        assert 'hypernode_attempts_ended_total{outcome="settled"} 1.0' in answer.text
        assert 'route="/api/v1/jobs"' in answer.text
        await http.get("/api/v1/jobs/some-stranger-made-this-up")
        answer = await http.get("/metrics", headers={"accept": "application/openmetrics-text"})
        assert answer.headers["content-type"].startswith("application/openmetrics-text")
        assert answer.text.endswith("# EOF\n") and "stranger" not in answer.text
        network = (await http.get("/api/v1/network")).json()
        assert network["coordinator_key"] == net.services.key.public in network["coordinators"]


async def test_while_the_database_is_away_it_says_so_and_afterwards_goes_on(database: str, tmp_path: Path) -> None:
    async with door(database) as entrance, network(entrance.dsn, tmp_path / "coordinator") as net:
        await net.prepare()
        http, root = net.http(), httpx.AsyncClient(base_url=net.url, timeout=30)
        node = await net.node()
        job_id = (await net.submit())["id"]
        lease = await net.start(node)
        assert (await root.get("/readyz")).status_code == 200
        entrance.shut()
        found = problem(await root.get("/readyz"), 503, "server.unavailable")
        assert found["retryable"]
        assert (await root.get("/healthz")).status_code == 200
        answers = await asyncio.gather(
            http.get("/account"), http.get("/jobs"), http.post("/jobs", json=job()), http.get(f"/jobs/{job_id}")
        )
        for answer in answers:
            problem(answer, 503, "server.unavailable")
        report = node.signed(lease.lease, node.body(lease))
        await node.say(report)
        closed = await node.closed()  # neither settled nor refused: it is to come back with it
        assert closed.closing is not None and closed.closing.retry
        entrance.open()
        async with asyncio.timeout(20):
            while (await root.get("/readyz")).status_code != 200:
                pass
        await node.connect(holds=[lease.lease])
        assert (await node.send_report(report)).code == ""
        assert (await net.job(job_id))["state"] == "succeeded"
        assert (await http.post("/jobs", json=job())).status_code == 201
        await net.adds_up()
        await root.aclose()
