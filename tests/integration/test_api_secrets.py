"""Secrets of projects: kept so that nobody reads them back, and given to the node that runs a job that names one."""

import asyncio
import json
import logging
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import msgspec
import pytest

from fakes.network import Network, job, network, problem, sse
from fakes.node import CAPABILITIES, FakeNode, uuid_of
from hypernode.coordinator.services import load_sealer
from hypernode.kernel import limits
from hypernode.kernel.errors import SecretUnreadable
from hypernode.nodes.model import SandboxOffer
from hypernode.protocol.messages import Refuse
from hypernode.secrets.model import SecretRequest
from hypernode.secrets.sealing import Login, Sealer

PASSWORD = "correct-horse-battery-staple"
REGISTRY = "registry.example:5000"
SECRET = {"kind": "registry", "registry": REGISTRY, "username": "puller", "password": PASSWORD}
IMAGE = f"{REGISTRY}/team/tool@sha256:{'0' * 64}"
CONTAINERS = msgspec.structs.replace(
    CAPABILITIES, sandboxes=(SandboxOffer(name="fake", isolation=2, runtimes=("container",)),)
)


def private(**changes: Any) -> dict[str, Any]:
    """A job whose image is opened by the secret `pull`."""
    runtime = {"type": "container", "image": IMAGE, "registry_secret": "pull", **changes}
    return job(runtime={name: value for name, value in runtime.items() if value is not None}, outputs=None)


async def put(http: httpx.AsyncClient, name: str = "pull", **changes: Any) -> httpx.Response:
    return await http.put(f"/secrets/{name}", json={**SECRET, **changes})


@pytest.fixture
async def node(net: Network) -> FakeNode:
    """A node that runs containers."""
    return await net.node(capabilities=CONTAINERS)


async def test_a_secret_is_set_listed_replaced_and_deleted(net: Network, http: httpx.AsyncClient) -> None:
    made = (await put(http)).json()
    assert {**made, "created_at": "", "updated_at": ""} == {
        "name": "pull",
        "kind": "registry",
        "registry": REGISTRY,
        "created_at": "",
        "updated_at": "",
    }
    assert (await put(http, "Other.1", registry="GHCR.io")).json()["registry"] == "ghcr.io"
    again = (await put(http, registry="index.docker.io")).json()
    assert again["created_at"] == made["created_at"] and again["updated_at"] > made["updated_at"]
    listed = (await http.get("/secrets")).json()["items"]
    assert [(item["name"], item["registry"]) for item in listed] == [("Other.1", "ghcr.io"), ("pull", "docker.io")]
    answer = await http.delete("/secrets/pull")
    assert (answer.status_code, answer.content) == (204, b"")
    problem(await http.delete("/secrets/pull"), 404, "not_found")
    assert [item["name"] for item in (await http.get("/secrets")).json()["items"]] == ["Other.1"]


async def test_setting_and_deleting_are_events_without_the_value(net: Network, http: httpx.AsyncClient) -> None:
    async with sse(http, "/events", "0.-1") as events:
        await put(http)
        await http.delete("/secrets/pull")
        seen = [(await anext(events))["data"] for _ in range(2)]
    assert [(event["kind"], event["data"]) for event in seen] == [
        ("secret.set", {"name": "pull"}),
        ("secret.deleted", {"name": "pull"}),
    ]


async def test_nothing_shows_what_a_secret_holds(
    net: Network, http: httpx.AsyncClient, node: FakeNode, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    said = [await put(http), await put(http, extra=1), await put(http, username="a:b"), await put(http, registry="x")]
    said += [await http.put("/secrets/pull", content=json.dumps({**SECRET, "password": PASSWORD * 1000}))]
    said += [await http.put("/secrets/pull", content=json.dumps(SECRET)[:-1]), await http.get("/secrets")]
    assert [answer.status_code for answer in said] == [200, 422, 422, 422, 422, 400, 200]
    submitted = await http.post("/jobs", json=private())
    lease = await node.lease()
    said += [submitted, await http.get(f"/jobs/{submitted.json()['id']}"), await http.get("/metrics")]
    await node.report(lease)
    said += [await http.get(f"/jobs/{submitted.json()['id']}/{what}") for what in ("explain", "receipts", "tasks")]
    everything = " ".join([answer.text for answer in said] + [repr(lease), caplog.text])
    assert PASSWORD not in everything and PASSWORD.encode() not in lease.document
    rows = await net.pool.fetch("select row_to_json(s)::text, encode(sealed, 'escape') from secret s")
    events = await net.pool.fetch("select row_to_json(e)::text from event e")
    stored = str([tuple(row) for row in [*rows, *events]])
    assert REGISTRY in stored and PASSWORD not in stored and "puller" not in stored


async def test_a_row_of_another_secret_does_not_open(net: Network, http: httpx.AsyncClient, node: FakeNode) -> None:
    """Who can write to the database, but has not the key, cannot have a password sent elsewhere."""
    await put(http)
    await put(http, "other", password="another", registry="evil.example")
    for change in (
        "update secret set registry = 'evil.example' where name = 'pull'",
        "update secret s set sealed = o.sealed from secret o where s.name = 'pull' and o.name = 'other'",
        "update secret set sealed = substring(sealed from 2) where name = 'pull'",
    ):
        await put(http)
        await net.pool.execute(change)
        image = None if "set registry" not in change else f"evil.example/a@sha256:{'0' * 64}"
        problem(await http.post("/jobs", json=private(**({"image": image} if image else {}))), 409, "secret.unreadable")


async def test_another_project_has_nothing_of_it(
    net: Network, http: httpx.AsyncClient, other: httpx.AsyncClient
) -> None:
    await net.admin.deposit("other", 10_000_000)
    await put(http)
    assert (await other.get("/secrets")).json()["items"] == []
    problem(await other.delete("/secrets/pull"), 404, "not_found")
    problem(await other.post("/jobs", json=private()), 422, "secret.unknown")
    await put(other, password="theirs")
    await other.delete("/secrets/pull")
    assert (await http.post("/jobs", json=private())).status_code == 201


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"registry": "https://ghcr.io"}, "$.registry"),
        ({"registry": "myhost"}, "$.registry"),
        ({"registry": "ghcr.io/team"}, "$.registry"),
        ({"registry": ""}, "$.registry"),
        ({"username": "a:b"}, "$.username"),
        ({"username": "a\nb"}, "$.username"),
        ({"username": "x" * 257}, "$.username"),
        ({"password": ""}, "$.password"),
        ({"password": "x" * (limits.SECRET_CHARS + 1)}, "$.password"),
        ({"kind": "ssh"}, "$.kind"),
        ({"value": "x"}, "$.value"),
    ],
)
async def test_what_a_secret_cannot_be(http: httpx.AsyncClient, change: dict[str, str], path: str) -> None:
    found = problem(await put(http, **change), 422, "input.invalid")
    assert [error["path"] for error in found["errors"]] == [path]


async def test_names_are_those_that_jobs_can_say(http: httpx.AsyncClient) -> None:
    for name in ("a" * 64, "-a", "a%20b", "a%0A", "%00"):
        assert (await put(http, name)).status_code == 400, name
    assert (await put(http, "a" * 63)).status_code == 200


async def test_a_project_has_a_bounded_number_of_them(net: Network, http: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(*(put(http, f"s{n}") for n in range(limits.SECRETS_PER_PROJECT + 5)))
    assert sorted(answer.status_code for answer in answers) == [200] * limits.SECRETS_PER_PROJECT + [409] * 5
    names = [item["name"] for item in (await http.get("/secrets")).json()["items"]]
    assert len(names) == limits.SECRETS_PER_PROJECT
    assert (await put(http, names[0])).status_code == 200
    await http.delete(f"/secrets/{names[0]}")
    assert (await put(http, "one-more")).status_code == 200


async def test_the_longest_secret_survives_the_way(net: Network, http: httpx.AsyncClient, node: FakeNode) -> None:
    password = "€" * limits.SECRET_CHARS
    assert (await put(http, password=password, username="ü" * 256)).status_code == 200
    await http.post("/jobs", json=private())
    registry = (await node.lease()).registry
    assert registry is not None and (registry.username, registry.password) == ("ü" * 256, password)


async def test_a_job_needs_a_secret_for_the_registry_of_its_image(net: Network, http: httpx.AsyncClient) -> None:
    found = problem(await http.post("/jobs", json=private()), 422, "secret.unknown")
    assert f"hypernode secret:set pull --registry {REGISTRY}" in found["detail"]
    await put(http)
    elsewhere = private(image=f"docker.io/library/alpine@sha256:{'0' * 64}")
    found = problem(await http.post("/jobs", json=elsewhere), 422, "secret.wrong_registry")
    assert REGISTRY in found["detail"] and "docker.io" in found["detail"]
    assert (await http.post("/jobs", json=private(image=IMAGE.replace("registry", "REGISTRY", 1)))).status_code == 201
    batch = {"jobs": [private(), elsewhere, job(), private(registry_secret="none")]}
    items = (await http.post("/jobs/batch", json=batch)).json()["items"]
    codes = [item["problem"] and item["problem"]["code"] for item in items]
    assert codes == [None, "secret.wrong_registry", None, "secret.unknown"]


async def test_a_repeated_request_is_answered_though_its_secret_is_gone(net: Network, http: httpx.AsyncClient) -> None:
    headers = {"idempotency-key": "k"}
    await put(http)
    first = await http.post("/jobs", json=private(), headers=headers)
    await http.delete("/secrets/pull")
    again = await http.post("/jobs", json=private(), headers=headers)
    assert (again.status_code, again.json()["id"]) == (201, first.json()["id"])
    problem(await http.post("/jobs", json=private(registry_secret=None), headers=headers), 409, "idempotency.mismatch")


async def test_a_lease_brings_the_login_of_the_moment(net: Network, http: httpx.AsyncClient, node: FakeNode) -> None:
    await put(http)
    await net.submit(**private())
    lease = await node.lease()
    assert lease.registry is not None
    assert (lease.registry.username, lease.registry.password) == ("puller", PASSWORD)
    await put(http, password="rotated")
    await node.say(Refuse(lease.lease, "image.registry_unreachable", "no", False))
    await net.event(str(uuid_of(lease.lease)), "task.lost", 1)
    await net.hurry()
    second = await node.lease()
    assert second.lease.epoch == 2 and second.registry is not None and second.registry.password == "rotated"
    assert (await node.report(second)).code == ""
    await net.submit(**private(registry_secret=None))
    assert (await node.lease()).registry is None


@pytest.mark.parametrize("change", ["delete", "move"])
async def test_a_job_whose_secret_is_gone_fails_and_says_so(net: Network, http: httpx.AsyncClient, change: str) -> None:
    await put(http)
    submitted = await net.submit(**private(), array={"size": 2})
    plain = await net.submit(**private(registry_secret=None))
    if change == "delete":
        await http.delete("/secrets/pull")
    else:
        await put(http, registry="evil.example")
    node = await net.node(capabilities=CONTAINERS)
    ended = await net.event(submitted["id"], "job.ended")
    assert ended["data"]["state"] == "failed" and ended["data"]["spent"] == 0
    tasks = await net.tasks(submitted["id"])
    cause = {"delete": "secret.unknown", "move": "secret.wrong_registry"}[change]
    assert [[attempt["cause"] for attempt in task["attempts"]] for task in tasks] == [[cause], [cause]]
    explained = (await http.get(f"/jobs/{submitted['id']}/explain")).json()["sentences"]
    assert any("secret" in line and "'pull'" in line for line in explained), explained
    lease = await node.lease()
    assert str(uuid_of(lease.lease)) == plain["id"]  # no other lease was sent, and the node has its room again
    assert node.waiting(type(lease)) == []
    session = net.services.sessions.get(node.key.public)
    assert session is not None and session.offer.free_slots == CONTAINERS.slots - 1
    await node.report(lease)
    await net.adds_up()


@pytest.fixture
async def elsewhere(database: str, tmp_path: Path) -> AsyncIterator[Network]:
    async with network(database, tmp_path / "elsewhere") as net:
        yield net


async def test_a_coordinator_without_the_key_says_so(net: Network, http: httpx.AsyncClient, elsewhere: Network) -> None:
    """A dump of the database, put back beside a new data folder."""
    await put(http)
    elsewhere.keys = net.keys
    there = elsewhere.http()
    assert [item["name"] for item in (await there.get("/secrets")).json()["items"]] == ["pull"]
    found = problem(await there.post("/jobs", json=private()), 409, "secret.unreadable")
    assert "set it again" in found["detail"]
    await put(there)
    assert (await there.post("/jobs", json=private())).status_code == 201


def test_the_key_is_made_once_and_private(tmp_path: Path) -> None:
    about = (UUID(int=1), "pull", REGISTRY)
    sealed = load_sealer(tmp_path).seal(*about, Login("u", "p"))
    assert load_sealer(tmp_path).open(*about, sealed) == Login("u", "p")
    assert stat.S_IMODE((tmp_path / "secrets.key").stat().st_mode) == 0o600
    with pytest.raises(SecretUnreadable):
        Sealer(bytes(32)).open(*about, sealed)


def test_sealing_hides_lengths_and_shows_no_repr() -> None:
    sealer, about = Sealer(b"k" * 32), (UUID(int=1), "pull", REGISTRY)
    short, long = (sealer.seal(*about, Login("user", "p" * n)) for n in (1, 120))
    assert len(short) == len(long) and sealer.seal(*about, Login("user", "p")) != short
    shown = repr([sealer, Login("user", "hidden"), msgspec.convert(SECRET, SecretRequest)])
    assert "hidden" not in shown and PASSWORD not in shown and "kkk" not in shown
