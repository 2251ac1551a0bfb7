"""Artifacts over real HTTP: a server on loopback, a real database, and callers named by a header."""

import asyncio
import hashlib
import random
import socket
from contextlib import asynccontextmanager
from uuid import UUID

import httpx
import msgspec
import pytest
import uvicorn
from litestar import Litestar, Request, Response, Router
from litestar.di import Provide

from hypernode.artifacts.api import ArtifactController, UploadController
from hypernode.artifacts.filestore import FileStore
from hypernode.artifacts.service import ArtifactService
from hypernode.kernel import limits
from hypernode.kernel.errors import HypernodeError, problem_of
from hypernode.kernel.ids import uuid7
from hypernode.tenancy.model import Caller, LeaseCaller, ProjectCaller

MIB = limits.MIB


def sha(data):
    return hashlib.sha256(data).hexdigest()


def find_caller(request: Request) -> Caller:
    """Stands for the room that knows who asks: the header holds the caller itself."""
    text = request.headers["x-caller"]
    if "job_id" in text:
        return msgspec.json.decode(text, type=LeaseCaller)
    return msgspec.json.decode(text, type=ProjectCaller)


def on_error(_: Request, error: HypernodeError) -> Response:
    return Response(msgspec.json.encode(problem_of(error)), status_code=error.status, media_type="application/json")


def make_app(service) -> Litestar:
    async def artifacts() -> ArtifactService:
        return service

    return Litestar(
        [Router("/api/v1", route_handlers=[UploadController, ArtifactController])],
        dependencies={"caller": Provide(find_caller, sync_to_thread=False), "artifacts": Provide(artifacts)},
        exception_handlers={HypernodeError: on_error},
    )


@asynccontextmanager
async def serve(app):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
        task = asyncio.create_task(server.serve([listener]))
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            await task


def headers(caller):
    return {"x-caller": msgspec.json.encode(caller).decode()}


async def new_project(pool):
    project_id = uuid7()
    await pool.execute("INSERT INTO project (id, name) VALUES ($1, $2)", project_id, f"p-{project_id.hex[:20]}")
    return ProjectCaller(project_id, "p", "key")


@pytest.fixture
def files(tmp_path):
    return FileStore(tmp_path)


@pytest.fixture
async def port(pool, files):
    async with serve(make_app(ArtifactService(pool, files))) as port:
        yield port


@pytest.fixture
async def project(pool):
    return await new_project(pool)


@pytest.fixture
async def client(port, project):
    base = f"http://127.0.0.1:{port}/api/v1"
    async with httpx.AsyncClient(base_url=base, headers=headers(project), timeout=60) as client:
        yield client


async def announce(client, data, **options):
    return await client.post("/uploads", json={"sha256": sha(data), "size_bytes": len(data)}, **options)


async def send(client, upload_id, offset, content, **options):
    return await client.patch(
        f"/uploads/{upload_id}",
        content=content,
        headers={"Upload-Offset": str(offset), **options.pop("headers", {})},
        **options,
    )


async def put(client, data, **options):
    answer = await announce(client, data, **options)
    assert answer.status_code == 201, answer.text
    view = answer.json()
    if not view["complete"]:
        view = (await send(client, view["id"], 0, data, **options)).json()
    assert view["complete"], view


@pytest.mark.parametrize("size", [0, 1, 256 * MIB])
async def test_bytes_out_are_bytes_in(client, size):
    block = random.Random(size).randbytes(min(size, MIB))
    count = max(1, size // MIB)
    hasher = hashlib.sha256()
    for _ in range(count):
        hasher.update(block)
    view = (await client.post("/uploads", json={"sha256": hasher.hexdigest(), "size_bytes": size})).json()

    async def body():
        for _ in range(count):
            yield block

    if size:
        answer = await send(client, view["id"], 0, body())
        assert answer.status_code == 200, answer.text
        view = answer.json()
    assert view["complete"] and view["offset"] == size
    got, received = hashlib.sha256(), 0
    async with client.stream("GET", f"/artifacts/{hasher.hexdigest()}") as answer:
        assert answer.status_code == 200
        assert answer.headers["content-length"] == str(size)
        async for chunk in answer.aiter_raw():
            got.update(chunk)
            received += len(chunk)
    assert (received, got.hexdigest()) == (size, hasher.hexdigest())


async def test_an_upload_resumes_after_its_connection_broke(client, port, project, files):
    data = random.Random(1).randbytes(5 * MIB)
    upload_id = (await announce(client, data)).json()["id"]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = [f"PATCH /api/v1/uploads/{upload_id} HTTP/1.1", "Host: x", "Upload-Offset: 0"]
    head += [f"Content-Length: {len(data)}", f"X-Caller: {headers(project)['x-caller']}", "", ""]
    writer.write("\r\n".join(head).encode() + data[:3_000_000])
    await writer.drain()
    async with asyncio.timeout(30):
        while files.offset(UUID(upload_id)) < 2 * MIB:
            await asyncio.sleep(0.01)
    writer.close()
    async with asyncio.timeout(30):
        while files.is_receiving(UUID(upload_id)):
            await asyncio.sleep(0.01)
    view = (await client.get(f"/uploads/{upload_id}")).json()
    assert view["offset"] == 3_000_000 and not view["complete"]
    view = (await send(client, upload_id, view["offset"], data[view["offset"] :])).json()
    assert view["complete"]
    assert (await client.get(f"/artifacts/{sha(data)}")).content == data
    del reader


async def test_a_connection_that_hangs_does_not_keep_the_next_one_waiting(client, port, project, files):
    data = random.Random(2).randbytes(MIB)
    upload_id = (await announce(client, data)).json()["id"]
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    head = [f"PATCH /api/v1/uploads/{upload_id} HTTP/1.1", "Host: x", "Upload-Offset: 0"]
    head += [f"Content-Length: {len(data)}", f"X-Caller: {headers(project)['x-caller']}", "", ""]
    writer.write("\r\n".join(head).encode() + b"junk")
    await writer.drain()
    async with asyncio.timeout(30):
        while not files.is_receiving(UUID(upload_id)):
            await asyncio.sleep(0.01)
    view = (await send(client, upload_id, 0, data)).json()
    assert view["complete"]
    writer.close()


async def test_pieces_and_wrong_places(client):
    data = random.Random(3).randbytes(1000)
    upload_id = (await announce(client, data)).json()["id"]
    assert (await send(client, upload_id, 0, data[:400])).json()["offset"] == 400
    answer = await send(client, upload_id, 0, data[:400])
    assert (answer.status_code, answer.json()["code"]) == (409, "offset.mismatch")
    assert answer.json()["extra"] == {"offset": 400}
    assert (await send(client, upload_id, 400, data[400:])).json()["complete"]


async def test_ranges(client):
    data = random.Random(4).randbytes(3 * MIB)
    await put(client, data)
    url = f"/artifacts/{sha(data)}"
    for header, start, end in [("0-0", 0, 1), ("1000000-2100000", 1_000_000, 2_100_001), ("-5", len(data) - 5, None)]:
        answer = await client.get(url, headers={"Range": f"bytes={header}"})
        part = data[start:end]
        assert answer.status_code == 206
        assert answer.content == part
        assert answer.headers["content-length"] == str(len(part))
        assert answer.headers["content-range"] == f"bytes {start}-{start + len(part) - 1}/{len(data)}"
    answer = await client.get(url, headers={"Range": f"bytes={len(data)}-"})
    assert (answer.status_code, answer.json()["code"]) == (416, "artifact.range")
    assert answer.json()["extra"] == {"size_bytes": len(data)}
    whole = await client.get(url, headers={"Range": "bytes=0-1", "If-Range": '"another"'})
    assert (whole.status_code, len(whole.content)) == (200, len(data))
    part = await client.get(url, headers={"Range": "bytes=0-1", "If-Range": whole.headers["etag"]})
    assert part.status_code == 206


async def test_head_and_conditional_requests(client):
    await put(client, b"abc")
    url = f"/artifacts/{sha(b'abc')}"
    answer = await client.head(url)
    assert answer.status_code == 200 and answer.content == b""
    assert answer.headers["content-length"] == "3"
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["etag"] == f'"{sha(b"abc")}"'
    assert (await client.get(url, headers={"If-None-Match": answer.headers["etag"]})).status_code == 304
    got = await client.get(url)
    assert got.content == b"abc" and got.headers["etag"] == answer.headers["etag"]
    assert (await client.head(f"/artifacts/{sha(b'gone')}")).status_code == 404


async def test_wrong_bytes_are_refused_and_forgotten(client):
    upload_id = (await announce(client, b"original")).json()["id"]
    answer = await send(client, upload_id, 0, b"tampered")
    assert (answer.status_code, answer.json()["code"]) == (422, "artifact.hash_mismatch")
    assert (await client.get(f"/uploads/{upload_id}")).status_code == 404
    for data in (b"original", b"tampered"):
        assert (await client.get(f"/artifacts/{sha(data)}")).status_code == 404


async def test_oversized_bodies_are_refused_announced_or_not(client):
    upload_id = (await announce(client, b"abc")).json()["id"]
    answer = await send(client, upload_id, 0, b"abcd")
    assert (answer.status_code, answer.json()["code"]) == (413, "input.too_large")

    async def chunked():
        yield b"ab"
        yield b"cd"

    answer = await send(client, upload_id, 0, chunked())
    assert (answer.status_code, answer.json()["code"]) == (413, "input.too_large")
    offset = (await client.get(f"/uploads/{upload_id}")).json()["offset"]
    assert (await send(client, upload_id, offset, b"abc"[offset:])).json()["complete"]


async def test_a_stranger_finds_nothing(client, pool):
    await put(client, b"mine")
    open_ = (await announce(client, b"open")).json()["id"]
    foreign = headers(await new_project(pool))
    assert (await client.get(f"/artifacts/{sha(b'mine')}", headers=foreign)).status_code == 404
    assert (await client.head(f"/artifacts/{sha(b'mine')}", headers=foreign)).status_code == 404
    assert (await client.get(f"/uploads/{open_}", headers=foreign)).status_code == 404
    assert (await send(client, open_, 0, b"open", headers=foreign)).status_code == 404
    assert (await client.delete(f"/uploads/{open_}", headers=foreign)).status_code == 404
    assert not (await announce(client, b"mine", headers=foreign)).json()["complete"]


async def test_a_node_reads_what_its_lease_names_and_writes_for_its_lease_only(client, project):
    await put(client, b"input")
    await put(client, b"another input")
    lease = LeaseCaller(project.project_id, uuid7(), 0, 1, "node", frozenset({sha(b"input"), sha(b"not there")}), 6)
    node = headers(lease)
    assert (await client.get(f"/artifacts/{sha(b'input')}", headers=node)).content == b"input"
    for data in (b"another input", b"not there"):
        assert (await client.get(f"/artifacts/{sha(data)}", headers=node)).status_code == 404
        assert (await client.head(f"/artifacts/{sha(data)}", headers=node)).status_code == 404
    await put(client, b"output", headers=node)
    assert (await client.get(f"/artifacts/{sha(b'output')}")).content == b"output"
    assert (await announce(client, b"more", headers=node)).status_code == 413
    later = headers(msgspec.structs.replace(lease, epoch=2))
    mine = (await announce(client, b"second", headers=later)).json()["id"]
    for other in (node, headers(project)):
        assert (await client.get(f"/uploads/{mine}", headers=other)).status_code == 404
        assert (await send(client, mine, 0, b"second", headers=other)).status_code == 404
    assert (await send(client, mine, 0, b"second", headers=later)).json()["complete"]


async def test_deleting_an_upload(client):
    upload_id = (await announce(client, b"abc")).json()["id"]
    await send(client, upload_id, 0, b"a")
    assert (await client.delete(f"/uploads/{upload_id}")).status_code == 204
    assert (await client.get(f"/uploads/{upload_id}")).status_code == 404
    assert (await announce(client, b"abc")).json()["offset"] == 0


async def test_an_idempotency_key_is_taken_and_repeating_makes_nothing(client):
    first = await announce(client, b"abc", headers={"Idempotency-Key": "k"})
    assert (await announce(client, b"abc", headers={"Idempotency-Key": "k"})).json() == first.json()


@pytest.mark.parametrize(
    ("method", "path", "options"),
    [
        ("GET", "/uploads/nonsense", {}),
        ("GET", f"/uploads/{uuid7()}", {}),
        ("PATCH", f"/uploads/{uuid7()}", {"content": b"x"}),
        ("PATCH", f"/uploads/{uuid7()}", {"content": b"x", "headers": {"Upload-Offset": "-1"}}),
        ("PATCH", f"/uploads/{uuid7()}", {"content": b"x", "headers": {"Upload-Offset": "9" * 40}}),
        ("PATCH", f"/uploads/{uuid7()}", {"content": b"x", "headers": {"Upload-Offset": "x"}}),
        ("GET", "/artifacts/nonsense", {}),
        ("GET", f"/artifacts/{'A' * 64}", {}),
        ("GET", f"/artifacts/{'0' * 64}%0A", {}),
        ("GET", "/artifacts/..%2F..%2Fetc%2Fpasswd", {}),
        ("GET", f"/artifacts/{'0' * 64}", {"headers": {"Range": "bytes=9-1,x"}}),
        ("POST", "/uploads", {"content": b"{"}),
        ("POST", "/uploads", {"content": b"\xff"}),
        ("POST", "/uploads", {"json": {"sha256": "x", "size_bytes": 1}}),
        ("POST", "/uploads", {"json": {"sha256": "0" * 64 + "\n", "size_bytes": 1}}),
        ("POST", "/uploads", {"json": {"sha256": "0" * 64, "size_bytes": -1}}),
        ("POST", "/uploads", {"json": {"sha256": "0" * 64, "size_bytes": 2**63}}),
        ("POST", "/uploads", {"json": {"sha256": "0" * 64, "size_bytes": 1, "more": 1}}),
    ],
)
async def test_bad_requests_are_the_callers_fault(client, method, path, options):
    answer = await client.request(method, path, **options)
    assert 400 <= answer.status_code < 500, answer.text


def test_every_refusal_is_in_the_openapi_document():
    app = make_app(None)
    paths = app.openapi_schema.to_schema()["paths"]
    operations = [one for name, path in paths.items() if name.startswith("/api") for one in path.values()]
    assert len(operations) == 6
    assert all(one["summary"] and {"400", "401"} <= set(one["responses"]) for one in operations)
    assert {"404", "409", "413", "422", "503"} <= set(paths["/api/v1/uploads/{upload_id}"]["patch"]["responses"])
    assert {"200", "206", "404", "416"} <= set(paths["/api/v1/artifacts/{sha256}"]["get"]["responses"])
    parameters = {
        parameter["name"] for one in operations for parameter in one.get("parameters", []) if parameter["in"] != "path"
    }
    assert parameters == {"Idempotency-Key", "Upload-Offset", "Range", "If-Range", "If-None-Match"}
