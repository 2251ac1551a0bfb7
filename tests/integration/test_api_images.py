"""Images of jobs at submission: a tag becomes the digest that the registry gives for it, once and for all."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from fakes.network import Network, job, network, problem
from hypernode.events.hints import Hints
from hypernode.images.reach import Reach, Unreachable
from hypernode.images.references import Reference
from hypernode.jobs.model import ContainerRuntime, JobDocument, decode_canonical, identify, parse
from hypernode.jobs.service.images import Images
from hypernode.kernel import limits
from hypernode.kernel.errors import HypernodeError, ImageNotFound, RegistryUnreachable
from hypernode.secrets.sealing import Sealer
from hypernode.secrets.service import Secrets
from registries import PASSWORD, USER, Registry, layer, locked_registry, registry  # noqa: F401

DIGEST = f"sha256:{'0' * 64}"


def container(image: str, **changes: Any) -> dict[str, Any]:
    return job(runtime={"type": "container", "image": image, **changes}, outputs=None)


@pytest.fixture
async def net(
    database: str,
    tmp_path: Path,
    registry: Registry,  # noqa: F811
    locked_registry: Registry,  # noqa: F811
) -> AsyncIterator[Network]:
    """A coordinator that may ask the registries of these tests."""
    private = tuple(f"http://{one.address}" for one in (registry, locked_registry))
    async with network(database, tmp_path / "coordinator", registries=private) as net:
        await net.prepare()
        yield net


@pytest.fixture
def push(registry: Registry) -> Callable[[str, str], str]:  # noqa: F811
    """Store an image under `name:tag` that differs by its text; its digest."""

    def push(name: str, text: str) -> str:
        repository, _, tag = name.partition(":")
        return registry.push(repository, layer(), config={"Labels": {"text": text}}, tag=tag).partition("@")[2]

    return push


async def test_a_tag_becomes_what_it_stands_for(
    net: Network,
    http: httpx.AsyncClient,
    registry: Registry,  # noqa: F811
    push: Callable[[str, str], str],
) -> None:
    first = push("tags/moving:1", "first")
    name = f"{registry.address}/tags/moving:1"
    view = (await http.post("/jobs", json=container(name))).json()
    assert view["document"]["runtime"]["image"] == f"{name}@{first}"
    assert view["content_id"] == identify(parse(container(f"{name}@{first}")))
    stored = await net.pool.fetchval(
        "select data from document join job using (content_id) where id = $1", UUID(view["id"])
    )
    assert decode_canonical(stored) == parse(view["document"])
    second = push("tags/moving:1", "second")
    assert first != second
    moved = (await http.post("/jobs", json=container(name))).json()
    assert moved["document"]["runtime"]["image"] == f"{name}@{second}"
    assert (await net.job(view["id"]))["document"]["runtime"]["image"] == f"{name}@{first}"
    # What names a digest is taken at its word: no registry is asked, and nodes find out what is there.
    unseen = container(f"{registry.address}/tags/none@{DIGEST}")
    assert (await http.post("/jobs", json=unseen)).json()["document"]["runtime"]["image"] == unseen["runtime"]["image"]


async def test_a_repeated_request_is_the_same_job_though_the_tag_moved(
    net: Network,
    http: httpx.AsyncClient,
    registry: Registry,  # noqa: F811
    push: Callable[[str, str], str],
) -> None:
    headers = {"idempotency-key": "k"}
    push("tags/repeated:1", "first")
    document = container(f"{registry.address}/tags/repeated:1")
    answers = await asyncio.gather(*(http.post("/jobs", json=document, headers=headers) for _ in range(5)))
    push("tags/repeated:1", "second")
    answers.append(await http.post("/jobs", json=document, headers=headers))
    registry_is_gone = {**document, "runtime": {"type": "container", "image": "127.0.0.1:1/x"}}
    batch = {"jobs": [document, document]}
    batches = [(await http.post("/jobs/batch", json=batch, headers={"idempotency-key": "b"})).json()["items"]]
    push("tags/repeated:1", "third")
    batches.append((await http.post("/jobs/batch", json=batch, headers={"idempotency-key": "b"})).json()["items"])
    assert {answer.status_code for answer in answers} == {201}
    assert len({(a.json()["id"], a.json()["document"]["runtime"]["image"]) for a in answers}) == 1
    assert [item["job"]["id"] for item in batches[0]] == [item["job"]["id"] for item in batches[1]]
    problem(await http.post("/jobs", json=registry_is_gone, headers=headers), 409, "idempotency.mismatch")


async def test_a_batch_asks_once_for_each_image(
    net: Network,
    http: httpx.AsyncClient,
    registry: Registry,  # noqa: F811
    push: Callable[[str, str], str],
) -> None:
    digests = [push("tags/one:1", "one"), push("tags/two:1", "two")]
    one, two = (f"{registry.address}/tags/{name}:1" for name in ("one", "two"))
    before = len(registry.requests("GET /v2/tags/one/manifests/1"))
    jobs = [container(one), job(), container(two), container(f"{registry.address}/tags/none:1"), container(one)] * 3
    items = (await http.post("/jobs/batch", json={"jobs": jobs})).json()["items"]
    codes = [item["problem"] and item["problem"]["code"] for item in items]
    assert codes == [None, None, None, "image.not_found", None] * 3
    assert len(registry.requests("GET /v2/tags/one/manifests/1")) == before + 1
    for place, name, digest in ((0, one, digests[0]), (2, two, digests[1]), (4, one, digests[0])):
        document = (await net.job(items[place]["job"]["id"]))["document"]
        assert document["runtime"]["image"] == f"{name}@{digest}"
        assert items[place]["job"]["content_id"] == identify(parse(document))


async def test_a_private_registry_wants_the_right_secret(
    net: Network,
    http: httpx.AsyncClient,
    locked_registry: Registry,  # noqa: F811
) -> None:
    pinned = locked_registry.push("team/tool", layer(), tag="1")
    name = f"{locked_registry.address}/team/tool:1"
    secret = {"registry": locked_registry.address, "username": USER, "password": PASSWORD}
    found = (await http.post("/jobs", json=container(name))).json()
    assert found["code"] in ("image.denied", "image.not_found"), found
    await http.put("/secrets/pull", json={**secret, "password": "wrong"})
    found = problem(await http.post("/jobs", json=container(name, registry_secret="pull")), 422, "image.denied")
    assert "wrong" not in str(found)
    await http.put("/secrets/pull", json=secret)
    view = (await http.post("/jobs", json=container(name, registry_secret="pull"))).json()
    assert view["document"]["runtime"]["image"] == f"{name}@{pinned.partition('@')[2]}"
    assert PASSWORD not in str(view)


async def test_what_cannot_be_asked_is_refused_and_changes_nothing(
    net: Network,
    http: httpx.AsyncClient,
    registry: Registry,  # noqa: F811
) -> None:
    nobody = container("127.0.0.1:1/x:1")  # not among the registries that may be asked
    found = problem(await http.post("/jobs", json=nobody), 422, "image.registry_not_allowed")
    assert "127.0.0.1" in found["detail"] and "operator" in found["detail"]
    problem(await http.post("/jobs", json=container(f"{registry.address}/tags/none:1")), 422, "image.not_found")
    assert (await http.post("/quotes", json=nobody)).status_code == 200
    assert (await http.get("/jobs")).json()["items"] == []
    account = (await http.get("/account")).json()
    assert account["escrow"] == 0
    await net.adds_up()


async def test_a_registry_that_does_not_answer_holds_up_nobody_else(database: str, tmp_path: Path) -> None:
    """It costs neither a database connection nor other projects' turns."""
    asked = asyncio.Semaphore(0)
    held: list[asyncio.StreamWriter] = []

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)
        asked.release()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    place = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with network(database, tmp_path / "coordinator", pool_size=2, registries=(f"http://{place}",)) as net:
        await net.prepare()
        await net.admin.deposit("other", 10_000_000)
        jobs = [container(f"{place}/x:{n}") for n in range(limits.RESOLUTIONS_PER_PROJECT + 5)]
        waiting = asyncio.create_task(net.http().post("/jobs/batch", json={"jobs": jobs}))
        for _ in range(limits.RESOLUTIONS_PER_PROJECT):
            await asyncio.wait_for(asked.acquire(), 20)
        theirs = asyncio.create_task(net.http("other").post("/jobs", json=container(f"{place}/x:1")))
        await asyncio.wait_for(asked.acquire(), 20)
        assert asked.locked()  # no more than these are asked at once
        assert (await net.http().post("/jobs", json=job())).status_code == 201
        server.close()
        while not (waiting.done() and theirs.done()):
            for writer in held:
                writer.close()
            await asyncio.wait({waiting, theirs}, timeout=0.05)
        items = (await waiting).json()["items"]
        assert {item["problem"]["code"] for item in items} == {"image.registry_unreachable"}
        problem(await theirs, 502, "image.registry_unreachable")


# ── without a registry: turns and time ──────────────────────────────────────────────────────────────────────────────


def images(resolve: Callable[[Reference], Awaitable[Reference]], deadline_s: float = 20.0) -> Images:
    async def asked(reference: Reference, login: tuple[str, str] | None) -> Reference:
        assert login is None
        return await resolve(reference)

    pool: Any = None  # without secrets there is nothing to look up
    return Images(Secrets(pool, Hints(), Sealer(bytes(32))), asked, deadline_s=deadline_s)


def documents(*names: str) -> list[JobDocument]:
    return [JobDocument(version=1, cap=1, runtime=ContainerRuntime(name)) for name in names]


def image_of(outcome: JobDocument | HypernodeError) -> str:
    assert isinstance(outcome, JobDocument) and isinstance(outcome.runtime, ContainerRuntime)
    return outcome.runtime.image


async def test_questions_wait_their_turn_and_each_is_asked_once() -> None:
    now = most = 0
    asked: list[str] = []

    async def resolve(reference: Reference) -> Reference:
        nonlocal now, most
        asked.append(str(reference))
        now += 1
        most = max(most, now)
        await asyncio.sleep(0)
        now -= 1
        return reference._replace(digest=DIGEST)

    names = [f"r.example/x:{n}" for n in range(30)]
    found = await images(resolve).pin(UUID(int=1), documents(*names, *names, f"r.example/x@{DIGEST}"))
    assert [image_of(one) for one in found] == [f"{name}@{DIGEST}" for name in (*names, *names, "r.example/x")]
    assert sorted(asked) == sorted(names) and most == limits.RESOLUTIONS_PER_PROJECT


async def test_time_is_bounded_and_one_that_fails_hurts_no_other() -> None:
    async def resolve(reference: Reference) -> Reference:
        if reference.tag == "hangs":
            await asyncio.Event().wait()
        if reference.tag == "none":
            raise ImageNotFound("there is none")
        return reference._replace(digest=DIGEST)

    start = asyncio.get_running_loop().time()
    found = await images(resolve, 0.2).pin(UUID(int=1), documents("r.example/x:hangs", "r.example/x:none", "alpine"))
    assert asyncio.get_running_loop().time() - start < 5
    assert [type(one) for one in found] == [RegistryUnreachable, ImageNotFound, JobDocument]
    assert image_of(found[2]) == f"docker.io/library/alpine:latest@{DIGEST}"
    assert "name@sha256:" in str(found[0])


async def test_a_name_that_gets_too_long_is_refused() -> None:
    async def resolve(reference: Reference) -> Reference:
        return reference._replace(digest=DIGEST)

    name = "r.example/" + "/".join(["x" * 60] * 8)
    (found,) = await images(resolve).pin(UUID(int=1), documents(name))
    assert isinstance(found, HypernodeError) and "characters" in str(found)


def test_any_port_of_a_host_can_be_named() -> None:
    reach = Reach(["http://127.0.0.1:*", "registry.lan:*"])
    assert reach.address("127.0.0.1:5000") == ("http", "127.0.0.1", 5000)
    assert reach.address("127.0.0.1") == ("http", "127.0.0.1", 80)
    assert reach.address("registry.lan:5000") == ("https", "registry.lan", 5000)
    assert reach.address("localhost:5000")[0] == "https"
    for text in ("*", "*:5000", "http://*:*", "127.0.0.1:**", "127.0.0.1:5000:*", "::1:*"):
        with pytest.raises(ValueError, match="registry"):
            Reach([text])


async def test_any_port_may_be_reached_where_it_is_named() -> None:
    assert await Reach(["http://127.0.0.1:*"]).addresses("127.0.0.1", 7) == ["127.0.0.1"]
    for other in ("127.0.0.2", "10.0.0.1"):
        with pytest.raises(Unreachable):
            await Reach(["http://127.0.0.1:*"]).addresses(other, 7)
