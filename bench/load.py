"""The load generator, a process of its own: `python -m bench.load` reads a plan as JSON from standard input and writes
what it measured as JSON to standard output.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import sys
import time
import uuid
from contextlib import aclosing
from typing import Final
from urllib.parse import urlsplit

import msgspec
import uvloop

from bench.usage import cpu_s
from hypernode.client import AsyncClient
from hypernode.jobs.model import Array, JobDocument, PythonRuntime, Resources, encode

DRAIN_S: Final = 120.0
WARM_UP_JOBS: Final = 3
"""Jobs of a latency run that go before and are not counted."""
METRICS_S: Final = 0.25
"""How often the generator asks what has been settled, to keep the backlog at its size."""


class Target(msgspec.Struct, frozen=True):
    """Whom to load: the coordinator's address, a key, and the processes by role whose CPU time counts."""

    url: str
    key: str
    pids: dict[str, list[int]]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to do. `kind`: batch (100 jobs a POST), single (one job a POST), array (one job of many tasks), latency."""

    kind: str
    batch: int = 1
    connections: int = 4
    backlog: int = 2000
    """Jobs submitted and not settled yet that the generator keeps up."""
    warm_s: float = 3.0
    windows: int = 6
    window_s: float = 10.0
    jobs: int = 0
    """Tasks of an array; jobs of a latency run."""


class Sample(msgspec.Struct, frozen=True):
    """The state at one moment. CPU seconds are by role since each process started."""

    at_s: float
    settled: int
    cpu_s: dict[str, float]


class Pushed(msgspec.Struct, frozen=True):
    """What a throughput run did."""

    before: Sample
    """Before the first request."""
    windows: list[Sample]
    """Bounds of the windows of the sustained part."""
    after: Sample
    """When everything was settled."""
    jobs: int
    requests_ms: list[float]
    """How long each submitting request took, with the sustained load."""
    peak_backlog: int


class Waited(msgspec.Struct, frozen=True):
    """One job of a latency run; monotonic nanoseconds."""

    job_id: str
    began: int
    accepted: int
    running_seen: int
    """The event task.running arrived at the client (open stream only; else 0)."""
    ended_seen: int


def document(*, tasks: int | None = None, code: str = "pass") -> JobDocument:
    """The job of the bench: the least a job can ask for, and something to do that no no-op node does."""
    return JobDocument(
        version=1,
        runtime=PythonRuntime(code=code),
        cap=10_000,
        name="bench",
        resources=Resources(cpu_milli=10, memory_bytes=16 << 20, disk_bytes=0),
        timeout_s=60,
        isolation=0,
        array=None if tasks is None else Array(tasks),
    )


class Http:
    """One keep-alive connection that does no more than it must, so that the generator leaves the CPU to others."""

    def __init__(self, url: str, key: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._head = f"host: {parts.netloc}\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\n"
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._turn = asyncio.Lock()

    async def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Send a request and read the whole answer; one at a time."""
        async with self._turn:
            return await self._ask(method, path, body)

    async def _ask(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port, limit=1 << 22)
        reader, writer = self._streams
        key = f"idempotency-key: {uuid.uuid4()}\r\n" if method == "POST" else ""
        head = f"{method} {path} HTTP/1.1\r\n{self._head}{key}content-length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        length = 0
        for line in answer.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        return int(answer.split(b" ", 2)[1]), await reader.readexactly(length)


_NUMBER: Final = "0x5eed"
"""The code of a job's template, where the job's number comes: no two jobs are the same, as in real life."""


class _Item(msgspec.Struct):
    problem: dict[str, object] | None


class _Batch(msgspec.Struct):
    items: list[_Item]


class Push:
    """A throughput run."""

    def __init__(self, target: Target, plan: Plan) -> None:
        self._target = target
        self._plan = plan
        self._accepted = 0
        self._settled = 0
        self._peak = 0
        self._open = True
        self._room = asyncio.Event()
        self._requests_ms: list[float] = []
        self._sustained = False
        self._control = Http(target.url, target.key)
        self._start = 0
        self._numbers = itertools.count()

    async def run(self) -> Pushed:
        """Warm up, keep the load up for all windows, drain."""
        plan = self._plan
        await self._look()
        self._start = self._settled
        before = await self._sample()
        poller = asyncio.create_task(self._poll())
        if plan.kind == "array":
            senders = [asyncio.create_task(self._send_array())]
            await senders[0]
            windows = [before]
        else:
            senders = [asyncio.create_task(self._send()) for _ in range(plan.connections)]
            await self._watch(plan.warm_s, [*senders, poller])
            self._sustained = True
            windows = [await self._sample()]
            for _ in range(plan.windows):
                await self._watch(plan.window_s, [*senders, poller])
                windows.append(await self._sample())
            self._sustained = False
            self._open = False
            self._room.set()
            await asyncio.gather(*senders)
        async with asyncio.timeout(DRAIN_S):
            while self._settled - self._start < self._accepted:
                await asyncio.sleep(0.02)
                await self._look()
        after = await self._sample()
        poller.cancel()
        return Pushed(before, windows, after, self._accepted, self._requests_ms, self._peak)

    async def _watch(self, seconds: float, tasks: list[asyncio.Task[None]]) -> None:
        """Sleep, unless something fails that should go on."""
        done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    async def _send_array(self) -> None:
        http = Http(self._target.url, self._target.key)
        await self._post(http, "/api/v1/jobs", encode(document(tasks=self._plan.jobs)), self._plan.jobs)

    async def _send(self) -> None:
        plan = self._plan
        http = Http(self._target.url, self._target.key)
        template = encode(document(code=_NUMBER))
        before, _, after = template.partition(_NUMBER.encode())
        while True:
            while self._open and self._accepted - (self._settled - self._start) + plan.batch > plan.backlog:
                self._room.clear()
                await self._room.wait()
            if not self._open:
                return
            made = [b"%b%d%b" % (before, next(self._numbers), after) for _ in range(plan.batch)]
            if plan.kind == "batch":
                await self._post(http, "/api/v1/jobs/batch", b'{"jobs":[%b]}' % b",".join(made), plan.batch)
            else:
                await self._post(http, "/api/v1/jobs", made[0], 1)

    async def _post(self, http: Http, path: str, body: bytes, count: int) -> None:
        self._accepted += count  # before the answer, so that the senders together keep to the backlog
        began = time.perf_counter()
        status, answer = await http.ask("POST", path, body)
        if self._sustained:
            self._requests_ms.append((time.perf_counter() - began) * 1000)
        if status != 201:
            raise SystemExit(f"POST {path}: {status} {answer[:500]!r}")
        if path.endswith("batch"):
            refused = sum(item.problem is not None for item in msgspec.json.decode(answer, type=_Batch).items)
            if refused:
                raise SystemExit(f"{refused} jobs of a batch were refused: {answer[:500]!r}")

    async def _poll(self) -> None:
        while True:
            await self._look()
            await asyncio.sleep(METRICS_S)

    async def _look(self) -> None:
        _, text = await self._control.ask("GET", "/metrics")
        for line in text.splitlines():
            if line.startswith(b'hypernode_attempts_ended_total{outcome="settled"}'):
                self._settled = int(float(line.rsplit(b" ", 1)[1]))
            elif line.startswith(b'hypernode_attempts_ended_total{outcome="lost"}') and not line.endswith(b" 0.0"):
                raise SystemExit(f"attempts were lost: {line!r}")
        self._peak = max(self._peak, self._accepted - (self._settled - self._start))
        self._room.set()

    async def _sample(self) -> Sample:
        await self._look()
        return Sample(
            time.monotonic(), self._settled - self._start, cpu_s({**self._target.pids, "load": [os.getpid()]})
        )


class Latency:
    """One job at a time."""

    def __init__(self, target: Target, plan: Plan) -> None:
        self._target = target
        self._plan = plan
        self._seen: dict[tuple[str, str], int] = {}
        self._news = asyncio.Event()

    async def run(self) -> list[Waited]:
        """With kind `latency` over one open stream of the project's events, with `latency-wait` by the SDK's `wait`."""
        chance = random.Random(1)
        waited: list[Waited] = []
        async with AsyncClient(self._target.url, self._target.key) as client:
            stream = None
            if self._plan.kind == "latency":
                stream = asyncio.create_task(self._listen(client))
                await asyncio.sleep(0.5)
            for _ in range(WARM_UP_JOBS + self._plan.jobs):
                waited.append(await self._one(client, stream))
                await asyncio.sleep(chance.uniform(0.01, 0.05))  # in step with nothing
            if stream is not None:
                stream.cancel()
                await asyncio.wait({stream})
        return waited[WARM_UP_JOBS:]

    async def _one(self, client: AsyncClient, stream: asyncio.Task[None] | None) -> Waited:
        began = time.monotonic_ns()
        job = await client.submit(document())
        accepted = time.monotonic_ns()
        if stream is None:
            job = await client.wait(job.id)
            ended, running = time.monotonic_ns(), 0
        else:
            async with asyncio.timeout(30):
                while (job.id, "job.ended") not in self._seen:
                    self._news.clear()
                    await self._news.wait()
            ended, running = self._seen[job.id, "job.ended"], self._seen[job.id, "task.running"]
        return Waited(job.id, began, accepted, running, ended)

    async def _listen(self, client: AsyncClient) -> None:
        async with aclosing(client.events()) as events:
            async for event in events:
                if event.job_id is not None:
                    self._seen[event.job_id, event.kind] = time.monotonic_ns()
                    self._news.set()


def main() -> None:
    """Carry out what standard input says: whom to load, and how."""
    target, plan = msgspec.json.decode(sys.stdin.buffer.read(), type=tuple[Target, Plan])
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        result = runner.run((Latency if plan.kind.startswith("latency") else Push)(target, plan).run())
    sys.stdout.buffer.write(msgspec.json.encode(result))


if __name__ == "__main__":
    main()
