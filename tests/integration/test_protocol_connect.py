"""Connecting: who gets in, and what ends a connection. A test plays the node."""

import asyncio
import hashlib

import httpx
import msgspec
from websockets.asyncio.client import connect

from fakes.network import Network, problem
from fakes.node import CAPABILITIES, Closed, FakeNode
from hypernode.kernel import limits
from hypernode.kernel.keys import KeyPair
from hypernode.nodes.model import ENROL_CONTEXT, Ask, Capabilities, JoinToken, SandboxOffer
from hypernode.protocol import messages
from hypernode.protocol.messages import LeaseRef


async def refused(node: FakeNode, hello: messages.Hello) -> Closed:
    """What a node hears that says this."""
    await node.say(hello)
    closed = await node.closed()
    assert closed.closing is not None
    return closed


async def state_of(net: Network, node: FakeNode) -> str:
    return (await net.http().get(f"/nodes/{node.key.public}")).json()["state"]


async def test_a_welcome_names_the_terms(net: Network) -> None:
    node = await net.node()
    assert node.challenge is not None and node.welcome is not None
    assert node.challenge.coordinator_key == net.services.key.public
    assert node.welcome.lease_ms == net.services.settings.lease_ms and node.welcome.drop == ()
    assert await state_of(net, node) == "online"


async def test_a_forged_signature_is_refused(net: Network) -> None:
    node = await net.node(connect=False)
    impostor = FakeNode(net.url, key=KeyPair.generate())
    challenge = await impostor.open()
    forged = msgspec.structs.replace(impostor.hello(challenge), node_key=node.key.public)
    closed = await refused(impostor, forged)
    assert closed.closing and closed.closing.code == "signature.invalid" and not closed.closing.retry
    assert closed.code == 1008
    assert await state_of(net, node) == "enrolled"


async def test_every_signed_field_is_under_the_signature(net: Network) -> None:
    node = await net.node(connect=False)
    for change in (
        {"capabilities": msgspec.structs.replace(CAPABILITIES, sandboxes=())},
        {"ask": Ask(1)},
        {"draining": True},
        {"signature": b""},
        {"signature": bytes(64)},
    ):
        challenge = await node.open()
        closed = await refused(node, msgspec.structs.replace(node.hello(challenge), **change))
        assert closed.closing and closed.closing.code == "signature.invalid", change


async def test_a_replayed_hello_is_refused(net: Network) -> None:
    node = await net.node(connect=False)
    hello = node.hello(await node.open())
    await node.say(hello)
    await node.next(messages.Welcome)
    await node.disconnect()
    await node.open()
    closed = await refused(node, hello)
    assert closed.closing and closed.closing.code == "signature.invalid"


async def test_a_hello_for_another_coordinator_is_refused(net: Network) -> None:
    node = await net.node(connect=False)
    challenge = await node.open()
    relayed = msgspec.structs.replace(challenge, coordinator_key=KeyPair.generate().public)
    closed = await refused(node, node.hello(relayed))
    assert closed.closing and closed.closing.code == "signature.invalid"


async def test_a_wrong_version_is_refused(net: Network) -> None:
    node = await net.node(connect=False)
    closed = await refused(node, msgspec.structs.replace(node.hello(await node.open()), version=2))
    assert closed.closing and closed.closing.code == "auth.forbidden" and not closed.closing.retry
    assert "version 1" in closed.closing.detail


async def test_an_unknown_node_is_refused(net: Network) -> None:
    node = FakeNode(net.url)
    closed = await refused(node, node.hello(await node.open()))
    assert closed.closing and closed.closing.code == "auth.forbidden" and not closed.closing.retry


async def test_a_key_that_is_none_is_refused(net: Network) -> None:
    node = await net.node(connect=False)
    for key in ("", "0OIl", "x" * 44, "é"):
        closed = await refused(node, msgspec.structs.replace(node.hello(await node.open()), node_key=key))
        assert closed.closing and closed.closing.code in ("input.invalid", "signature.invalid"), key


async def test_what_is_no_hello_ends_the_handshake(net: Network) -> None:
    node = await net.node(connect=False)
    lease = LeaseRef(bytes(16), 0, 1)
    for frame in (
        b"",
        b"\xc1",
        b"\x90",
        b"x" * 1000,
        messages.encode(list[messages.NodeMessage]([messages.Running(lease)])),
        "text",
        msgspec.msgpack.encode([["hello", 1]]),
        msgspec.msgpack.encode([["welcome", b"", 1, 1, []]]),
    ):
        challenge = await node.open()
        await node.say_raw(frame)
        closed = await node.closed()
        assert closed.closing and closed.closing.code == "input.malformed" and not closed.closing.retry, frame
        assert challenge.nonce
    challenge = await node.open()
    await node.say(node.hello(challenge), node.hello(challenge))
    assert (await node.closed()).closing is not None
    assert await state_of(net, node) == "enrolled"


async def test_texts_the_database_cannot_keep_are_malformed(net: Network) -> None:
    node = await net.node(connect=False)
    for change in (
        {"labels": {"a": "\x00"}},
        {"cpu_model": "\x00"},
        {"sandboxes": (SandboxOffer(name="\x00", isolation=0, runtimes=()),)},
    ):
        node.capabilities = msgspec.structs.replace(CAPABILITIES, **change)
        closed = await refused(node, node.hello(await node.open()))
        assert closed.closing and closed.closing.code == "input.malformed", change
    node.capabilities = CAPABILITIES
    closed = await refused(node, msgspec.structs.replace(node.hello(await node.open()), agent_version="\x00"))
    assert closed.closing and closed.closing.code == "input.malformed"


async def test_a_frame_beyond_the_bound_ends_the_connection(net: Network) -> None:
    node = await net.node()
    await node.say_raw(bytes(limits.FRAME_BYTES + 1))
    assert (await node.closed()).code == 1009
    await node.connect()  # it may come back
    assert await state_of(net, node) == "online"


async def test_a_malformed_frame_ends_the_connection_with_a_reason(net: Network) -> None:
    node = await net.node()
    frames: list[bytes | str] = [
        b"\xc1",
        b"",
        "a text frame",
        messages.encode(list[messages.NodeMessage]([messages.Heartbeat((), ())])) + b"x",
        msgspec.msgpack.encode([["heartbeat", [], [["short", 0, 1]]]]),
        msgspec.msgpack.encode([["running", [bytes(16), -1, 1]]]),
        msgspec.msgpack.encode([["running", [bytes(16), 0, 2**31]]]),
        msgspec.msgpack.encode([["log", [bytes(16), 0, 1], 0, bytes(limits.LOG_CHUNK_BYTES + 1)]]),
        msgspec.msgpack.encode([["drain"]] * (limits.MESSAGES_PER_FRAME + 1)),
        b"\x91" * 100_000,
    ]
    for frame in frames:
        await node.say_raw(frame)
        closed = await node.closed()
        assert closed.closing and closed.closing.code == "input.malformed" and closed.closing.retry, frame[:60]
        await node.connect()
    hello = node.hello(node.challenge) if node.challenge else None
    assert hello
    await node.say(hello)
    assert (await node.closed()).closing == messages.Closing("input.malformed", "Hello is said once", True)


async def test_the_second_connection_of_a_key_replaces_the_first(net: Network) -> None:
    first = await net.node()
    second = FakeNode(net.url, key=first.key)
    net.nodes.append(second)
    await net.submit()
    lease = await first.start()
    await second.connect(holds=[lease.lease])
    closed = await first.closed()
    assert closed.closing and closed.closing.code == "node.replaced" and not closed.closing.retry
    assert (await second.report(lease)).code == ""
    assert await state_of(net, second) == "online"
    await net.adds_up()


async def test_what_a_node_says_it_holds_and_does_not_is_dropped(net: Network) -> None:
    node = await net.node(connect=False)
    invented = LeaseRef(bytes(16), 3, 7)
    welcome = await node.connect(holds=[invented])
    assert welcome.drop == (invented,)
    await node.say(messages.Heartbeat((invented,), (invented,)))
    assert (await node.next(messages.Drop)).lease == invented


async def test_a_draining_node_gets_nothing_new(net: Network) -> None:
    leaving = await net.node("leaving", ask=Ask(1))
    await leaving.say(messages.Drain())
    await leaving.round_trip()
    staying = await net.node("staying", ask=Ask(50))
    job_id = (await net.submit())["id"]
    assert (await staying.finish()).code == ""
    assert leaving.waiting(messages.Lease) == []
    assert (await net.job(job_id))["state"] == "succeeded"
    assert await state_of(net, leaving) == "draining"


async def test_nodes_are_listed(net: Network, http: httpx.AsyncClient) -> None:
    nodes = [await net.node(f"n{n}") for n in range(3)]
    keys = sorted(node.key.public for node in nodes)
    found: list[str] = []
    cursor: str | None = None
    for _ in range(3):
        params: dict[str, str | int] = {"limit": 1, **({"cursor": cursor} if cursor else {})}
        page = (await http.get("/nodes", params=params)).json()
        found += [view["node"] for view in page["items"]]
        cursor = page["next"]
    assert sorted(found) == keys and len(set(found)) == 3 and cursor is None
    assert (await http.get("/nodes?own=true")).json()["items"] == []
    own = (await net.http("operator").get("/nodes?own=true")).json()["items"]
    assert {view["name"] for view in own} == {"n0", "n1", "n2"} and all(view["own"] for view in own)
    view = (await http.get(f"/nodes/{keys[0]}")).json()
    assert view["state"] == "online" and view["ask"] == {"rate_per_second": 100, "fixed": 0}
    assert msgspec.convert(view["capabilities"], Capabilities) == CAPABILITIES
    problem(await http.get(f"/nodes/{KeyPair.generate().public}"), 404, "not_found")
    problem(await http.get("/nodes/0OIl"), 400, "input.malformed")


async def test_a_revoked_node_loses_its_connection_and_its_task(net: Network) -> None:
    operator = net.http("operator")
    node = await net.node("bad", ask=Ask(1))
    job_id = (await net.submit())["id"]
    lease = await net.start(node)
    answer = await operator.post(f"/nodes/{node.key.public}/revoke")
    assert answer.status_code == 200 and answer.json()["state"] == "revoked"
    await node.say(messages.Heartbeat((lease.lease,), (lease.lease,)))
    closed = await node.closed()
    assert closed.closing and closed.closing.code == "node.superseded"
    closed = await refused(node, node.hello(await node.open(), [lease.lease]))
    assert closed.closing and closed.closing.code == "auth.forbidden" and not closed.closing.retry
    problem(
        await net.http(None).get(f"/artifacts/{'0' * 64}", headers=node.authorization(lease.lease)), 409, "lease.stale"
    )
    await net.expire(node)
    await net.event(job_id, "task.lost")
    good = await net.node("good")
    await net.hurry()
    assert (await good.finish()).code == ""
    assert (await net.job(job_id))["state"] == "succeeded"
    token = await net.join_token()
    answer = await net.http(None).post("/nodes/enrol", content=msgspec.json.encode(node.enrol_request(token)))
    problem(answer, 403, "auth.forbidden")
    await net.adds_up()


async def test_a_join_token_enrols_one_node_once(net: Network) -> None:
    http = net.http(None)
    answer = await net.http("operator").post("/nodes/join-tokens", json={"valid_s": 60})
    assert answer.status_code == 201
    token = answer.json()["token"]
    assert JoinToken.parse(token).addresses == (net.url,)
    first, second = FakeNode(net.url), FakeNode(net.url)
    one = await first.enrol(token)
    assert one.project == "operator" and one.coordinator_key == net.services.key.public
    assert await first.enrol(token) == one  # the answer was lost: the same again
    answer = await http.post("/nodes/enrol", content=msgspec.json.encode(second.enrol_request(token)))
    problem(answer, 403, "node.join_token_invalid")


async def test_two_nodes_cannot_race_for_one_join_token(net: Network) -> None:
    token = await net.join_token()
    http = net.http(None)
    nodes = [FakeNode(net.url) for _ in range(8)]
    answers = await asyncio.gather(
        *(http.post("/nodes/enrol", content=msgspec.json.encode(node.enrol_request(token))) for node in nodes)
    )
    assert sorted(answer.status_code for answer in answers) == [201] + [403] * 7


async def test_join_tokens_that_are_not_good(net: Network) -> None:
    http = net.http(None)
    token = await net.join_token()
    node = FakeNode(net.url)
    await net.pool.execute("update join_token set expires_at = clock_timestamp()")
    for request, status, code in [
        (node.enrol_request(token), 403, "node.join_token_invalid"),
        (node.enrol_request(JoinToken(("http://x",), b"", "a" * 32).text()), 403, "node.join_token_invalid"),
        (node.enrol_request(token, signature=bytes(64)), 401, "signature.invalid"),
        (node.enrol_request(token, public_key=KeyPair.generate().public), 401, "signature.invalid"),
        (node.enrol_request(token, public_key="é" * 40), 422, "input.invalid"),
        (node.enrol_request(token, name="a b"), 422, "input.invalid"),
        (node.enrol_request(token, name="a\n"), 422, "input.invalid"),
        (node.enrol_request(token, secret="short"), 422, "input.invalid"),
    ]:
        answer = await http.post("/nodes/enrol", content=msgspec.json.encode(request))
        problem(answer, status, code)
    assert (await net.http().get("/nodes")).json()["items"] == []
    for valid_s in (59, 30 * 86400 + 1, "soon"):
        problem(await net.http().post("/nodes/join-tokens", json={"valid_s": valid_s}), 422, "input.invalid")


async def test_a_key_belongs_to_one_project(net: Network) -> None:
    node = await net.node(connect=False)
    stolen = await net.join_token("other")
    answer = await net.http(None).post("/nodes/enrol", content=msgspec.json.encode(node.enrol_request(stolen)))
    problem(answer, 403, "auth.forbidden")
    secret = JoinToken.parse(stolen).secret
    assert node.key.sign(ENROL_CONTEXT, hashlib.sha256(secret.encode()).digest())
    await FakeNode(net.url).enrol(stolen)  # the token is not used up by what was refused


async def test_connections_that_say_nothing_are_harmless(net: Network) -> None:
    """Strangers who only connect take no node's place; the coordinator stops in spite of them (see the fixture)."""
    url = "ws" + net.url.removeprefix("http") + messages.PATH
    idle = [await connect(url, proxy=None) for _ in range(20)]
    node = await net.node()
    await net.submit()
    assert (await node.finish()).code == ""
    for socket in idle:
        await socket.close()
