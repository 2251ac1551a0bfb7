"""Quoting and submitting: what is taken, what is refused, and that nothing is taken twice."""

import asyncio
import hashlib
import json
from collections.abc import Coroutine

import httpx
import msgspec

from fakes.network import FUNDS, Network, job, problem
from fakes.node import CAPABILITIES
from hypernode.events.hints import Hints
from hypernode.jobs.model import encode, identify, parse
from hypernode.jobs.service.documents import Documents
from hypernode.jobs.service.fresh import Fresh
from hypernode.jobs.service.submit import Submissions, prepare
from hypernode.kernel import limits
from hypernode.ledger.service import lock_available
from hypernode.nodes.model import Ask
from hypernode.tenancy.model import Idempotency

YAML = b"""
version: 1
name: from-yaml
runtime: {type: python, code: "print(1)"}
cap: 0.5 HYPER
timeout_s: 10m
resources:
  memory_bytes: 256MiB
  cpu_milli: 500m
"""


async def balance(net: Network) -> tuple[int, int]:
    view = (await net.http().get("/account")).json()
    return view["available"], view["escrow"]


async def test_submitting_holds_the_cap_and_shows_the_job(net: Network, http: httpx.AsyncClient) -> None:
    document = job(cap=1000, array={"size": 3}, labels={"team": "a"}, name="first")
    answer = await http.post("/jobs", json=document)
    assert answer.status_code == 201
    view = answer.json()
    assert view["state"] == "queued" and view["held"] == 3000 and view["spent"] == 0 and view["size"] == 3
    assert view["tasks"] == {"queued": 3, "live": 0, "succeeded": 0, "failed": 0, "cancelled": 0, "expired": 0}
    assert view["content_id"] == identify(parse(document)) and view["labels"] == {"team": "a"}
    assert parse(view["document"]) == parse(document)
    assert await net.job(view["id"]) == view
    assert await balance(net) == (FUNDS - 3000, 3000)


async def test_the_same_document_in_yaml_is_the_same_job(net: Network, http: httpx.AsyncClient) -> None:
    for content_type in ["application/yaml", "application/x-yaml; charset=utf-8", "text/yaml"]:
        answer = await http.post("/jobs", content=YAML, headers={"content-type": content_type})
        assert answer.status_code == 201, answer.text
        in_json = {
            "version": 1,
            "name": "from-yaml",
            "runtime": {"type": "python", "code": "print(1)"},
            "cap": 500_000,
            "timeout_s": 600,
            "resources": {"memory_bytes": 256 * limits.MIB, "cpu_milli": 500},
        }
        assert answer.json()["content_id"] == (await http.post("/jobs", json=in_json)).json()["content_id"]
        quoted = await http.post("/quotes", content=YAML, headers={"content-type": content_type})
        assert quoted.json()["content_id"] == answer.json()["content_id"]


async def test_an_idempotency_key_makes_one_job(net: Network, http: httpx.AsyncClient) -> None:
    headers = {"idempotency-key": "k1"}
    first = await http.post("/jobs", json=job(), headers=headers)
    again = await http.post("/jobs", content=json.dumps(job(), sort_keys=True, indent=2), headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json()["id"] == again.json()["id"]
    problem(await http.post("/jobs", json=job(cap=2), headers=headers), 409, "idempotency.mismatch")
    assert (await net.admin.ledger()).transfers == 2  # the deposit and one hold
    assert (await http.post("/jobs", json=job())).json()["id"] != first.json()["id"]


async def test_concurrent_duplicates_make_one_job(net: Network, http: httpx.AsyncClient) -> None:
    headers = {"idempotency-key": "k1"}
    answers = await asyncio.gather(*(http.post("/jobs", json=job(), headers=headers) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len((await http.get("/jobs")).json()["items"]) == 1


async def test_who_comes_together_with_a_repeated_request_is_taken_once(net: Network, http: httpx.AsyncClient) -> None:
    def keyed(key: str) -> Coroutine[None, None, httpx.Response]:
        return http.post("/jobs", json=job(), headers={"idempotency-key": key})

    first = (await keyed("k0")).json()["id"]
    for number in range(3):  # at once, while the others wait, and then while repetition is reckoned with
        answers = await asyncio.gather(keyed("k0"), *(keyed(f"k{number}-{one}") for one in range(8)))
        assert {answer.status_code for answer in answers} == {201} and answers[0].json()["id"] == first
    assert (await net.admin.ledger()).transfers == 1 + 1 + 3 * 8


async def test_a_repeated_request_is_answered_though_the_money_is_gone(net: Network, http: httpx.AsyncClient) -> None:
    document, headers = job(cap=FUNDS), {"idempotency-key": "k1"}
    first = await http.post("/jobs", json=document, headers=headers)
    again = await http.post("/jobs", json=document, headers=headers)
    assert (again.status_code, again.json()["id"]) == (201, first.json()["id"])
    problem(
        await http.post("/jobs", json=document, headers={"idempotency-key": "k2"}), 402, "ledger.insufficient_funds"
    )


async def test_two_coordinators_that_get_the_same_request_make_one_job(net: Network) -> None:
    services = net.services
    document = parse(job())
    project_id = await services.tenancy.project("client")
    one = prepare(project_id, document, encode(document), Idempotency("k", b"f" * 32))
    both = [Submissions(net.pool, services.ledger, services.artifacts, Documents(), Fresh(), Hints()) for _ in range(2)]
    waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
    async with net.pool.acquire() as holder, holder.transaction():
        await lock_available(holder, [project_id])
        twins = asyncio.gather(*(submissions.submit(one) for submissions in both))
        async with asyncio.timeout(30):
            while await holder.fetchval(waiting) < 2:
                await asyncio.sleep(0.01)
    taken = await twins
    assert taken[0].job_id == taken[1].job_id
    assert (await net.admin.ledger()).transfers == 2  # the deposit and one hold


async def test_two_projects_may_use_the_same_key(
    net: Network, http: httpx.AsyncClient, other: httpx.AsyncClient
) -> None:
    await net.admin.deposit("other", FUNDS)
    headers = {"idempotency-key": "k1"}
    mine = await http.post("/jobs", json=job(), headers=headers)
    theirs = await other.post("/jobs", json=job(cap=5), headers=headers)
    assert theirs.status_code == 201 and mine.json()["id"] != theirs.json()["id"]


async def test_an_idempotency_key_makes_one_join_token(
    net: Network, http: httpx.AsyncClient, other: httpx.AsyncClient
) -> None:
    async def ask(client: httpx.AsyncClient, key: str | None, **body: int) -> httpx.Response:
        return await client.post("/nodes/join-tokens", json=body, headers={"idempotency-key": key} if key else {})

    answers = await asyncio.gather(*(ask(http, "k1") for _ in range(8)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    problem(await ask(http, "k1", valid_s=60), 409, "idempotency.mismatch")
    tokens = {(await ask(client, key)).json()["token"] for client, key in ((http, None), (http, "k2"), (other, "k1"))}
    assert len(tokens | {answers[0].json()["token"]}) == 4


async def test_an_impossible_idempotency_key_is_refused(net: Network, http: httpx.AsyncClient) -> None:
    for key in ["", "x" * 129, "a\tb"]:
        answer = await http.post("/jobs", json=job(), headers={"idempotency-key": key})
        assert answer.status_code in (400, 422)
        problem(answer, answer.status_code, "input.malformed" if answer.status_code == 400 else "input.invalid")
        assert (await http.get("/jobs")).json()["items"] == []


async def test_a_batch_takes_each_job_for_itself(net: Network, http: httpx.AsyncClient) -> None:
    missing = {"sha256": "0" * 64, "size_bytes": 1}
    batch = {
        "jobs": [
            job(name="one"),
            job(cap="5"),
            17,
            job(cap=FUNDS),
            job(inputs={"a": missing}),
            job(name="two"),
            job(extra=1),
        ]
    }
    headers = {"idempotency-key": "x" * limits.IDEMPOTENCY_KEY_CHARS}
    answer = await http.post("/jobs/batch", json=batch, headers=headers)
    assert answer.status_code == 201, answer.text
    items = answer.json()["items"]
    codes = [item["problem"]["code"] if item["problem"] else item["job"]["name"] for item in items]
    assert codes == [
        "one",
        "input.invalid",
        "input.invalid",
        "ledger.insufficient_funds",
        "input.invalid",
        "two",
        "input.invalid",
    ]
    assert await balance(net) == (FUNDS - 2_000_000, 2_000_000)
    again = await http.post("/jobs/batch", json=batch, headers=headers)
    assert [i["job"] and i["job"]["id"] for i in again.json()["items"]] == [i["job"] and i["job"]["id"] for i in items]
    assert await balance(net) == (FUNDS - 2_000_000, 2_000_000)


async def test_in_a_batch_the_money_is_counted_down(net: Network, http: httpx.AsyncClient) -> None:
    batch = {"jobs": [job(cap=FUNDS // 2), job(cap=FUNDS // 2), job(cap=1)]}
    items = (await http.post("/jobs/batch", json=batch)).json()["items"]
    assert [bool(item["job"]) for item in items] == [True, True, False]
    assert items[2]["problem"]["code"] == "ledger.insufficient_funds" and items[2]["problem"]["status"] == 402
    assert await balance(net) == (0, FUNDS)


async def test_a_batch_has_bounds(net: Network, http: httpx.AsyncClient) -> None:
    bodies: list[dict] = [{}, {"jobs": []}, {"jobs": [{}] * (limits.BATCH_JOBS + 1)}]
    for body in bodies:
        found = problem(await http.post("/jobs/batch", json=body), 422, "input.invalid")
        assert found["errors"][0]["path"] == "$.jobs"


async def test_without_money_nothing_is_taken(net: Network, http: httpx.AsyncClient) -> None:
    found = problem(await http.post("/jobs", json=job(cap=FUNDS + 1)), 402, "ledger.insufficient_funds")
    assert "1,000.000001 HYPER" in found["detail"] and "1,000 HYPER are available" in found["detail"]
    assert (await http.get("/jobs")).json()["items"] == [] and await balance(net) == (FUNDS, 0)
    assert (await http.post("/jobs", json=job(cap=FUNDS))).status_code == 201


async def test_the_most_expensive_job_there_can_be_is_quoted_and_refused(net: Network, http: httpx.AsyncClient) -> None:
    """Amounts beyond 64 bits: the cap of every task of the largest array, on the dearest node for the longest time."""
    await net.node(ask=Ask(limits.MICRO_HYPER, limits.MICRO_HYPER))
    document = job(cap=limits.MICRO_HYPER, array={"size": limits.ARRAY_TASKS}, timeout_s=limits.TIMEOUT_S)
    answer = await http.post("/quotes", json=document)
    assert answer.status_code == 200, answer.text
    assert answer.json()["hold"] == limits.MICRO_HYPER * limits.ARRAY_TASKS
    assert answer.json()["can_submit"] is False
    answer = await http.post("/jobs", json=document)
    assert problem(answer, 422, "market.cap_too_low")["extra"]["short_by"] == limits.MICRO_HYPER * limits.TIMEOUT_S
    await net.nodes[0].disconnect()
    document["resources"] = {"memory_bytes": "1TiB"}
    problem(await http.post("/jobs", json=document), 402, "ledger.insufficient_funds")


async def test_a_cap_too_low_for_every_node_says_by_how_much(net: Network, http: httpx.AsyncClient) -> None:
    await net.node("cheap", ask=Ask(100, 7))
    await net.node("dear", ask=Ask(1000))
    await net.node("small", ask=Ask(1), capabilities=msgspec.structs.replace(CAPABILITIES, memory_bytes=limits.MIB))
    document = job(cap=6000, timeout_s=60)
    quoted = (await http.post("/quotes", json=document)).json()
    assert quoted["cheapest_worst_price"] == 6007 and quoted["cap_short_by"] == 7 and not quoted["can_submit"]
    assert sorted((e["code"], e["nodes"]) for e in quoted["excluded"]) == [("cap", 1), ("cap", 1), ("memory", 1)]
    assert "raise the cap by 0.000007 HYPER" in json.dumps(quoted["excluded"])
    found = problem(await http.post("/jobs", json=document), 422, "market.cap_too_low")
    assert found["extra"] == {"short_by": 7, "needed": 6007}
    assert (await http.post("/jobs/batch", json={"jobs": [document]})).json()["items"][0]["problem"]["extra"][
        "short_by"
    ] == 7
    enough = (await http.post("/quotes", json=job(cap=6007))).json()
    assert enough["cap_short_by"] == 0 and enough["can_submit"]
    assert [(n["name"], n["worst_price"], n["available_now"]) for n in enough["eligible"]] == [("cheap", 6007, True)]
    assert (await http.post("/jobs", json=job(cap=6007))).status_code == 201


async def test_a_quote_takes_nothing_and_says_why_nobody_can(net: Network, http: httpx.AsyncClient) -> None:
    empty = (await http.post("/quotes", json=job())).json()
    assert empty["eligible"] == [] and empty["excluded"] == [] and empty["cheapest_worst_price"] is None
    assert empty["can_submit"]  # it may wait for a node
    weak = (msgspec.structs.replace(CAPABILITIES.sandboxes[0], isolation=1),)
    await net.node("plain", capabilities=msgspec.structs.replace(CAPABILITIES, sandboxes=weak))
    leaving = await net.node("leaving")
    leaving_drained = leaving.hello(await reconnect(leaving), draining=True)
    await leaving.say(leaving_drained)
    await leaving.round_trip()
    quoted = (await http.post("/quotes", json=job())).json()
    assert sorted(e["code"] for e in quoted["excluded"]) == ["draining", "isolation"]
    assert await balance(net) == (FUNDS, 0)


async def reconnect(node):
    await node.disconnect()
    return await node.open()


async def test_every_error_of_a_document_is_told_at_once(net: Network, http: httpx.AsyncClient) -> None:
    document = {
        "version": 2,
        "runtime": {"type": "python", "kode": "x"},
        "cap": 5.5,
        "resources": {"memory_bytes": "512", "cpu_mili": 5, "gpu": {"count": 0}},
        "timeout_s": "10 minutes",
        "inputs": {"../x": {"sha256": "zz", "size_bytes": -1}},
        "labels": {"a b": "c"},
        "array": {"size": 0},
    }
    for path in ("/jobs", "/quotes"):
        found = problem(await http.post(path, json=document), 422, "input.invalid")
        paths = {error["path"] for error in found["errors"]}
        assert paths >= {
            "$.version",
            "$.runtime.kode",
            "$.cap",
            "$.resources.memory_bytes",
            "$.resources.cpu_mili",
            "$.resources.gpu.count",
            "$.timeout_s",
            "$.inputs.../x",
            "$.inputs.../x.sha256",
            "$.inputs.../x.size_bytes",
            "$.array.size",
        }, paths
        hints = {error["path"]: error["message"] for error in found["errors"]}
        assert "did you mean 'cpu_milli'" in hints["$.resources.cpu_mili"]
        assert "did you mean 'code'" in hints["$.runtime.kode"]


async def test_a_wrong_value_is_refused(net: Network, http: httpx.AsyncClient) -> None:
    changes: list[dict] = [
        {"name": "a\n"},
        {"name": "a\x00"},
        {"labels": {"a": "b\x00"}},
        {"labels": {"a\n": "b"}},
        {"environment": {"A\n": "b"}},
        {"environment": {"A": "b\x00"}},
        {"runtime": {"type": "python", "module": "os\n"}},
        {"runtime": {"type": "python", "code": "\x00"}},
        {"runtime": {"type": "wasm"}},
        {"runtime": {"type": "python", "code": "1", "module": "os"}},
        {"runtime": {"type": "python", "script": "absent.py"}},
        {"outputs": ["/etc/passwd"]},
        {"outputs": ["a/../../b"]},
        {"cap": -1},
        {"cap": "5"},
        {"cap": "1 USD"},
        {"cap": limits.MICRO_HYPER + 1},
        {"array": {"size": limits.ARRAY_TASKS + 1}},
        {"timeout_s": 0},
        {"environment": {f"A{n}": "" for n in range(limits.ENVIRONMENT_VARIABLES + 1)}},
    ]
    for change in changes:
        assert problem(await http.post("/jobs", json=job(**change)), 422, "input.invalid")["errors"]


async def test_what_is_no_json_is_malformed(net: Network, http: httpx.AsyncClient) -> None:
    for body in [b"", b"{", b"\xff\xfe", b'{"a":1} x', b"[" * 10_000, b'{"name": "\\ud800"}', b"nul"]:
        for path in ["/jobs", "/quotes", "/jobs/batch", "/nodes/join-tokens", "/nodes/enrol", "/uploads"]:
            problem(
                await http.post(path, content=body, headers={"content-type": "application/json"}),
                400,
                "input.malformed",
            )


async def test_what_is_no_yaml_is_malformed(net: Network, http: httpx.AsyncClient) -> None:
    for body in [b"a: [", b"\xff\xfe\x00", b"a: &x 1\nb: *x", b"? [a]: b", b"!!python/object:os.system x", b"%"]:
        answer = await http.post("/jobs", content=body, headers={"content-type": "application/yaml"})
        problem(answer, 400, "input.malformed")


async def test_yaml_of_something_else_is_invalid(net: Network, http: httpx.AsyncClient) -> None:
    for body in [
        b"a",
        b"- 1",
        b"1: 2",
        b"null",
        b"version: 2026-01-01",
        b'"\\ud800": 1',
        b'version: 1\ncap: 1\nruntime: {type: python, code: "\\ud800"}',
    ]:
        answer = await http.post("/jobs", content=body, headers={"content-type": "application/yaml"})
        problem(answer, 422, "input.invalid")


async def test_a_body_that_is_too_large_is_refused(net: Network, http: httpx.AsyncClient) -> None:
    large = b'{"x": "' + b"x" * limits.BODY_BYTES + b'"}'
    for path in ("/jobs", "/quotes", "/jobs/batch", "/nodes/enrol", "/uploads"):
        problem(await http.post(path, content=large), 413, "input.too_large")

    async def chunks():
        for _ in range(9):
            yield b" " * limits.MIB

    problem(await http.post("/jobs", content=chunks()), 413, "input.too_large")


async def test_a_document_that_is_too_large_is_refused(net: Network, http: httpx.AsyncClient) -> None:
    large = job(environment={f"A{n}": "x" * limits.ARGUMENT_CHARS for n in range(9)})
    problem(await http.post("/jobs", json=large), 413, "input.too_large")
    problem((await http.post("/quotes", json=large)), 413, "input.too_large")


async def test_artifacts_must_be_there_in_the_size_named(net: Network, http: httpx.AsyncClient) -> None:
    data = b"print(1)"
    ref: dict = {"sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data)}
    script = {"type": "python", "script": "a.py"}
    found = problem(await http.post("/jobs", json=job(runtime=script, inputs={"a.py": ref})), 422, "input.invalid")
    assert ref["sha256"] in json.dumps(found["errors"])
    upload = (await http.post("/uploads", json=ref)).json()
    await http.patch(f"/uploads/{upload['id']}", content=data, headers={"upload-offset": "0"})
    wrong = {**ref, "size_bytes": 3}
    problem(await http.post("/jobs", json=job(runtime=script, inputs={"a.py": wrong})), 422, "input.invalid")
    lock = job(runtime={**script, "requirements": {"sha256": "1" * 64, "size_bytes": 3}}, inputs={"a.py": ref})
    problem(await http.post("/jobs", json=lock), 422, "input.invalid")
    assert (await http.post("/jobs", json=job(runtime=script, inputs={"a.py": ref}))).status_code == 201


async def test_other_methods_and_paths_are_problems(net: Network, http: httpx.AsyncClient) -> None:
    problem(await http.get("/nowhere"), 404, "not_found")
    answer = await http.put("/jobs")
    problem(answer, 405, "http.method_not_allowed")
    assert "POST" in answer.headers["allow"]
    problem(await http.get("/jobs/not-a-uuid"), 404, "not_found")
    problem(await http.get("/jobs?limit=0"), 400, "input.malformed")
    problem(await http.get("/jobs?limit=201"), 400, "input.malformed")
    problem(await http.get("/jobs?state=nonsense"), 400, "input.malformed")
    answer = await http.get("/nodes/connect")
    problem(answer, 503, "server.unavailable")
