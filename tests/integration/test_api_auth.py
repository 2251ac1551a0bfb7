"""Who may ask for what: every route without a key, with a wrong one, and for somebody else's things."""

import asyncio
import hashlib
import json
from uuid import uuid4

import httpx

from fakes.network import Network, problem, sse
from fakes.node import log_bytes
from hypernode.tenancy.service import KEY_CACHE_S

NODE = "11111111111111111111111111111112"
JOB = str(uuid4())
HASH = "0" * 64

ROUTES = [
    ("GET", "/whoami"),
    ("GET", "/account"),
    ("GET", "/account/statement"),
    ("POST", "/quotes"),
    ("POST", "/jobs"),
    ("POST", "/jobs/batch"),
    ("GET", "/jobs"),
    ("GET", f"/jobs/{JOB}"),
    ("POST", f"/jobs/{JOB}/cancel"),
    ("GET", f"/jobs/{JOB}/tasks"),
    ("GET", f"/jobs/{JOB}/explain"),
    ("GET", f"/jobs/{JOB}/logs"),
    ("GET", f"/jobs/{JOB}/logs/stream"),
    ("GET", f"/jobs/{JOB}/receipts"),
    ("GET", "/events"),
    ("GET", "/nodes"),
    ("GET", f"/nodes/{NODE}"),
    ("POST", "/nodes/join-tokens"),
    ("POST", f"/nodes/{NODE}/revoke"),
    ("POST", "/uploads"),
    ("GET", f"/uploads/{JOB}"),
    ("PATCH", f"/uploads/{JOB}"),
    ("DELETE", f"/uploads/{JOB}"),
    ("GET", f"/artifacts/{HASH}"),
    ("GET", "/secrets"),
    ("PUT", "/secrets/s"),
    ("DELETE", "/secrets/s"),
    ("POST", "/burns"),
    ("GET", "/governance/parameters"),
    ("GET", "/governance/cases"),
    ("POST", "/governance/cases"),
    ("GET", f"/governance/cases/{JOB}"),
    ("POST", f"/governance/cases/{JOB}/advance"),
    ("POST", f"/governance/cases/{JOB}/appeal"),
    ("POST", f"/governance/cases/{JOB}/commit"),
    ("POST", f"/governance/cases/{JOB}/reveal"),
    ("GET", "/governance/proposals"),
    ("POST", "/governance/proposals"),
    ("GET", f"/governance/proposals/{JOB}"),
    ("POST", f"/governance/proposals/{JOB}/activate"),
    ("POST", f"/governance/proposals/{JOB}/cancel"),
    ("POST", f"/governance/proposals/{JOB}/execute"),
    ("POST", f"/governance/proposals/{JOB}/finalize"),
    ("POST", f"/governance/proposals/{JOB}/votes"),
    ("GET", "/stakes"),
    ("POST", "/stakes"),
    ("GET", f"/stakes/{JOB}"),
    ("POST", f"/stakes/{JOB}/add"),
    ("POST", f"/stakes/{JOB}/claim"),
    ("POST", f"/stakes/{JOB}/unstake"),
    ("POST", f"/stakes/{JOB}/withdraw"),
    ("GET", "/staking"),
    ("POST", "/staking/distribute"),
    ("POST", "/unlocks"),
]
OPEN = {("GET", "/network"), ("POST", "/nodes/enrol"), ("GET", "/burns"), ("GET", "/supply")}


def is_same(template: str, path: str) -> bool:
    """Whether a path is one of an OpenAPI template."""
    parts, given = template.removeprefix("/api/v1").split("/"), path.split("/")
    return len(parts) == len(given) and all(a == b or a.startswith("{") for a, b in zip(parts, given, strict=True))


async def ask(http: httpx.AsyncClient, method: str, path: str, **headers: str) -> httpx.Response:
    """A request that is right but for who asks."""
    body = b"{}" if method in ("POST", "PUT") else None
    offset = {"upload-offset": "0"} if method == "PATCH" else {}
    return await http.request(method, path, content=body, headers={**offset, **headers})


async def test_the_list_of_routes_is_complete(net: Network) -> None:
    async with httpx.AsyncClient(base_url=net.url) as http:
        schema = (await http.get("/schema/openapi.json")).json()
    documented = {
        (method.upper(), path)
        for path, methods in schema["paths"].items()
        for method in methods
        if path.startswith("/api/v1") and method != "head"
    }
    tested = [*ROUTES, *OPEN]
    for method, path in documented:
        assert any(m == method and is_same(path, p) for m, p in tested), f"{method} {path} is not tested here"
    assert len(documented) == len(tested)


async def test_without_a_valid_key_every_route_is_closed(net: Network) -> None:
    http = net.http(None)
    for header in ("", "Bearer", "Bearer wrong", "Basic dTpw", "Lease x", "Bearer hnkey_0_" + "x" * 300):
        answers = await asyncio.gather(*(ask(http, *route, authorization=header) for route in ROUTES))
        for answer in answers:
            problem(answer, 401, "auth.required")
            assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_stranger_learns_nothing_from_a_body(net: Network) -> None:
    """Who asks is settled before what is asked is read."""
    for body in (b"{", b"{}", b"x" * 9_000_000):
        problem(await net.http(None).post("/jobs", content=body), 401, "auth.required")


async def test_a_key_with_a_wrong_secret_or_of_another_handle_is_refused(net: Network) -> None:
    handle, secret = net.keys["client"].split("_", 2)[1:]
    others = net.keys["other"].split("_", 2)[1]
    for key in (
        f"hnkey_{handle}_{secret[:-1]}",
        f"hnkey_{others}_{secret}",
        f"hnkey_{handle}_",
        net.keys["client"] + "x",
    ):
        answer = await net.http(None).get("/whoami", headers={"authorization": f"Bearer {key}"})
        problem(answer, 401, "auth.required")


async def test_whoami(net: Network) -> None:
    answer = await net.http().get("/whoami")
    assert answer.status_code == 200
    body = answer.json()
    assert body["project"] == "client" and body["key"] == net.keys["client"].split("_", 2)[1]
    assert net.keys["client"].split("_", 2)[2] not in answer.text


async def test_a_revoked_key_ends_within_the_time_it_may_be_remembered(net: Network) -> None:
    http = net.http()
    assert (await http.get("/whoami")).status_code == 200
    await net.admin.revoke_key(net.keys["client"].split("_", 2)[1])
    net.services.tenancy._now = lambda: asyncio.get_running_loop().time() + KEY_CACHE_S + 1e9  # the clock has moved on
    problem(await http.get("/whoami"), 401, "auth.required")


async def test_a_revoked_key_that_was_never_used_is_refused_at_once(net: Network) -> None:
    key = await net.admin.create_key("client", "short")
    await net.admin.revoke_key(key.split("_", 2)[1])
    answer = await net.http(None).get("/whoami", headers={"authorization": f"Bearer {key}"})
    problem(answer, 401, "auth.required")


async def test_what_is_another_projects_is_not_there(
    net: Network, http: httpx.AsyncClient, other: httpx.AsyncClient
) -> None:
    data = b"mine"
    sha256 = hashlib.sha256(data).hexdigest()
    upload = (await http.post("/uploads", json={"sha256": sha256, "size_bytes": 4})).json()
    await http.patch(f"/uploads/{upload['id']}", content=data, headers={"upload-offset": "0"})
    pending = (await http.post("/uploads", json={"sha256": HASH, "size_bytes": 9})).json()
    node = await net.node()
    job_id = (await net.submit())["id"]
    lease = await net.start(node)
    await node.log(lease.lease, log_bytes("secret"))
    assert (await node.report(lease)).code == ""
    for method, path in [
        ("GET", f"/jobs/{job_id}"),
        ("POST", f"/jobs/{job_id}/cancel"),
        ("GET", f"/jobs/{job_id}/tasks"),
        ("GET", f"/jobs/{job_id}/explain"),
        ("GET", f"/jobs/{job_id}/logs"),
        ("GET", f"/jobs/{job_id}/logs/stream"),
        ("GET", f"/jobs/{job_id}/receipts"),
        ("GET", f"/events?job={job_id}"),
        ("POST", f"/nodes/{node.key.public}/revoke"),
        ("GET", f"/uploads/{pending['id']}"),
        ("PATCH", f"/uploads/{pending['id']}"),
        ("DELETE", f"/uploads/{pending['id']}"),
        ("GET", f"/artifacts/{sha256}"),
    ]:
        problem(await ask(other, method, path), 404, "not_found")
    assert (await other.head(f"/artifacts/{sha256}")).status_code == 404
    assert (await other.get("/jobs")).json() == {"items": [], "next": None}
    assert (await other.get("/account/statement")).json()["items"] == []
    answer = await other.post(
        "/jobs",
        json={
            "version": 1,
            "cap": 10**6,
            "runtime": {"type": "python", "script": "a"},
            "inputs": {"a": {"sha256": sha256, "size_bytes": 4}},
        },
    )
    problem(answer, 422, "input.invalid")
    assert (await http.get(f"/artifacts/{sha256}")).content == data


async def test_events_of_others_are_not_in_the_stream(
    net: Network, http: httpx.AsyncClient, other: httpx.AsyncClient
) -> None:
    await net.admin.deposit("other", 10_000_000)
    async with asyncio.timeout(20), sse(other, "/events") as events:
        await net.submit()
        answer = await other.post(
            "/jobs", content=json.dumps({"version": 1, "cap": 1, "runtime": {"type": "python", "code": "1"}})
        )
        first = await anext(events)
        assert first["event"] == "job.submitted"
        assert first["data"]["job_id"] == answer.json()["id"]


async def test_a_node_with_a_lease_sees_its_artifacts_and_nothing_else(net: Network) -> None:
    node = await net.node()
    await net.submit()
    lease = await node.lease()
    http = net.http(None)
    for method, path in [
        ("GET", "/whoami"),
        ("GET", "/jobs"),
        ("GET", "/account"),
        ("GET", "/nodes"),
    ]:
        problem(await ask(http, method, path, **node.authorization(lease.lease)), 403, "auth.forbidden")
