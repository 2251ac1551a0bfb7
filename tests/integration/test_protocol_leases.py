"""What nodes say about their leases: honest, late, twice, forged, somebody else's. Only what is due is paid."""

import httpx
import msgspec

from fakes.network import FUNDS, Network, problem
from fakes.node import CAPABILITIES, FakeNode, log_bytes
from hypernode.coordinator.sessions import UNNAMED_BEATS
from hypernode.kernel import limits
from hypernode.kernel.keys import KeyPair
from hypernode.ledger.receipt import NODE_CONTEXT, Outcome, OutputFile, Receipt, Traffic, encode_body, verify
from hypernode.nodes.model import Ask
from hypernode.protocol import messages
from hypernode.protocol.messages import LeaseRef


async def paid(net: Network) -> int:
    """What settlements came to in all."""
    await net.adds_up()
    return int(await net.pool.fetchval("select coalesce(sum(price), 0)::bigint from settlement"))


async def lost(net: Network, job_id: str, epoch: int = 1) -> str:
    """The cause by which an attempt was lost."""
    cause: str = (await net.event(job_id, "task.lost", epoch))["data"]["cause"]
    return cause


async def test_a_task_from_lease_to_settlement(net: Network, http: httpx.AsyncClient) -> None:
    node = await net.node()
    view = await net.submit(outputs=["out.bin"])
    lease = await net.start(node)
    assert lease.remaining_cap == 1_000_000 and (await net.job(view["id"]))["state"] == "running"
    await net.age(10)
    assert await node.log(lease.lease, log_bytes("hello")) == len(log_bytes("hello"))
    output = await node.upload(lease.lease, b"\x00" * 1000)
    ack = await node.report(lease, outputs=[output], wall_ms=5000)
    assert ack == messages.ReportAck(lease.lease, "", 500, 425)
    done = await net.job(view["id"])
    assert done["state"] == "succeeded" and done["spent"] == 500 and done["held"] == 0 and done["ended_at"]
    assert (await http.get("/account")).json()["available"] == FUNDS - 500
    assert await paid(net) == 500


async def test_running_may_be_said_again_after_a_reconnect(net: Network) -> None:
    node = await net.node()
    job_id = (await net.submit())["id"]
    lease = await net.start(node)
    await node.say(messages.Running(lease.lease))
    await node.disconnect()
    assert (await node.connect(holds=[lease.lease])).drop == ()
    await node.say(messages.Running(lease.lease), messages.Heartbeat((lease.lease,), (lease.lease,)))
    await node.round_trip()
    assert node.waiting(messages.Drop) == []
    assert (await node.report(lease)).code == ""
    kinds = await net.pool.fetch("select kind from event where job_id = $1::text::uuid order by seq", job_id)
    assert [row["kind"] for row in kinds].count("task.running") == 1


async def test_a_report_of_anothers_lease_counts_for_nothing(net: Network) -> None:
    small = msgspec.structs.replace(CAPABILITIES, slots=1)
    holder = await net.node("holder", capabilities=small, ask=Ask(1))
    thief = await net.node("thief", capabilities=small, ask=Ask(2))
    job_id = (await net.submit())["id"]
    lease = await net.start(holder)
    await net.age(10)
    ack = await thief.report(lease)
    assert (ack.code, ack.price) == ("lease.stale", 0)
    for body in (thief.body(lease, node=holder.key.public), holder.body(lease)):
        ack = await thief.send_report(thief.signed(lease.lease, body))
        assert ack.code == "lease.stale"
    await thief.say(
        messages.Refuse(lease.lease, "node.broken", "", job_fault=True),
        messages.Running(lease.lease),
        messages.Log(lease.lease, 0, b"forged"),
        messages.Heartbeat((lease.lease,), (lease.lease,)),
    )
    await thief.round_trip()
    assert await paid(net) == 0 and (await net.job(job_id))["state"] == "running"
    assert (await net.http().get(f"/jobs/{job_id}/logs")).content == b""
    assert (await holder.report(lease, wall_ms=1000)).price == 1
    assert await paid(net) == 1


async def test_a_report_from_an_old_epoch_is_refused_and_unpaid(net: Network) -> None:
    frozen = await net.node("frozen", ask=Ask(1))
    job_id = (await net.submit())["id"]
    lease = await net.start(frozen)
    report = frozen.signed(lease.lease, frozen.body(lease))
    await net.expire(frozen)
    assert await lost(net, job_id) == "lease.expired"
    assert (await frozen.next(messages.Drop)).code == "lease.expired"
    second = await net.node("second")
    await net.hurry()
    again = await net.start(second)
    assert again.lease == LeaseRef(lease.lease.job_id, 0, 2)
    ack = await frozen.send_report(report)
    assert (ack.code, ack.price, ack.earned) == ("lease.stale", 0, 0)
    assert await paid(net) == 0
    await net.age(5)
    assert (await second.report(again, wall_ms=1000)).price == 100
    ack = await frozen.send_report(report)
    assert ack.code == "lease.stale"
    attempts = (await net.tasks(job_id))[0]["attempts"]
    assert [(a["epoch"], a["state"], a["cause"], a["price"]) for a in attempts] == [
        (1, "lost", "lease.expired", 0),
        (2, "accepted", "exited", 100),
    ]
    assert await paid(net) == 100


async def test_a_report_said_twice_is_settled_once_and_answered_alike(net: Network) -> None:
    node = await net.node()
    await net.submit()
    lease = await net.start(node)
    await net.age(10)
    report = node.signed(lease.lease, node.body(lease))
    first = await node.send_report(report)
    assert first.code == "" and first.price == 100
    assert await node.send_report(report) == first
    await node.disconnect()
    welcome = await node.connect(holds=[lease.lease])  # the acknowledgement was lost
    assert welcome.drop == ()
    assert await node.send_report(report) == first
    other = node.signed(lease.lease, node.body(lease, exit_code=1))
    assert (await node.send_report(other)).code == "lease.stale"
    assert await paid(net) == 100


async def test_reports_sent_in_one_frame_settle_once(net: Network) -> None:
    node = await net.node()
    await net.submit()
    lease = await net.start(node)
    await net.age(10)
    report = node.signed(lease.lease, node.body(lease))
    await node.say(*[report] * 50)
    acks = [await node.next(messages.ReportAck) for _ in range(50)]
    assert {ack.code for ack in acks} <= {"", "lease.stale"} and sum(ack.code == "" for ack in acks) >= 1
    assert await paid(net) == 100


async def test_reports_that_contradict_the_lease_lose_it(net: Network) -> None:
    """Each would be a result accepted for the wrong thing; each attempt is lost unpaid, and the next one is good."""
    node = await net.node()
    job_id = (await net.submit(retries={"infrastructure": 20}, outputs=["out.bin", "extra/*"]))["id"]
    good = OutputFile("out.bin", "0" * 64, 1)
    sha = "1" * 64
    wrong: list[tuple[dict, str]] = [
        ({"outputs": [good]}, "never delivered"),
        ({"outputs": []}, "without the declared output 'out.bin'"),
        ({"outcome": Outcome.EXITED, "exit_code": 1, "outputs": [OutputFile("other", sha, 1)]}, "not declared"),
        ({"exit_code": 1, "outputs": [OutputFile("extra/../../x", sha, 1)]}, "impossible output"),
        ({"exit_code": 1, "outputs": [OutputFile("extra//x", sha, 1)]}, "impossible output"),
        ({"exit_code": 1, "outputs": [OutputFile("extra/\x00", sha, 1)]}, "impossible output"),
        ({"exit_code": 1, "outputs": [good, good]}, "twice"),
        ({"exit_code": 1, "job_id": "0" * 36}, "another job"),
        ({"exit_code": 1, "epoch": 77}, "another job"),
        ({"exit_code": 1, "node": KeyPair.generate().public}, "another job"),
        ({"outcome": Outcome.CANCELLED, "exit_code": None, "signal": 9}, "nobody asked"),
        ({"exit_code": 1, "isolation": 1}, "isolation 1"),
        ({"exit_code": 1, "log_bytes": 5}, "log of 5 bytes"),
        ({"exit_code": 1, "log_root": sha}, "log root"),
    ]
    for epoch, (said, part) in enumerate(wrong, 1):
        lease = await net.start(node)
        assert lease.lease.epoch == epoch
        ack = await node.report(lease, **said)
        assert ack.code == "input.invalid", said
        event = await net.event(job_id, "task.lost", epoch)
        assert event["data"]["cause"] == "report.invalid" and part in event["data"]["detail"], (said, event)
        await net.hurry()
    stranger = KeyPair.generate()
    for make in (
        lambda data: (b"{}", bytes(64)),
        lambda data: (data, bytes(64)),
        lambda data: (data + b" ", node.key.sign(NODE_CONTEXT, data + b" ")),
        lambda data: (data, node.key.sign("another context", data)),
        lambda data: (data, stranger.sign(NODE_CONTEXT, data)),
    ):
        lease = await net.start(node)
        said_data, signature = make(encode_body(node.body(lease, exit_code=1)))
        ack = await node.send_report(messages.Report(lease.lease, said_data, signature))
        assert ack.code in ("input.malformed", "signature.invalid"), ack
        assert await lost(net, job_id, lease.lease.epoch) == "report.invalid"
        await net.hurry()
    lease = await net.start(node)
    output = await node.upload(lease.lease, b"x")
    assert (await node.report(lease, outputs=[msgspec.structs.replace(output, size_bytes=2)])).code == "input.invalid"
    assert await lost(net, job_id, lease.lease.epoch) == "report.invalid"
    await net.hurry()
    lease = await net.start(node)
    assert (await node.report(lease, outputs=[await node.upload(lease.lease, b"x")])).code == ""
    assert await paid(net) == (await net.job(job_id))["spent"]
    assert len((await net.http().get(f"/jobs/{job_id}/receipts")).json()["items"]) == 1


async def test_traffic_is_reported_by_jobs_with_egress_only(net: Network, http: httpx.AsyncClient) -> None:
    sandbox = msgspec.structs.replace(CAPABILITIES.sandboxes[0], egress=True)
    node = await net.node(capabilities=msgspec.structs.replace(CAPABILITIES, sandboxes=(sandbox,)))
    traffic = Traffic(sent_bytes=7, received_bytes=11)
    closed = (await net.submit(outputs=None))["id"]
    lease = await net.start(node)
    assert (await node.report(lease, egress=traffic)).code == "input.invalid"
    assert "speaks of traffic" in (await net.event(closed, "task.lost"))["data"]["detail"]
    await net.hurry()
    await node.report(await net.start(node))
    assert (await net.tasks(closed))[0]["egress"] is None
    way = (await net.submit(outputs=None, network={"egress": [{"host": "example.org"}]}))["id"]
    await node.report(await net.start(node), egress=traffic)
    assert (await net.tasks(way))[0]["egress"] == {"sent_bytes": 7, "received_bytes": 11}
    (receipt,) = (await http.get(f"/jobs/{way}/receipts")).json()["items"]
    assert receipt["body"]["run"]["egress"] == {"sent_bytes": 7, "received_bytes": 11}
    verify(msgspec.convert(receipt, Receipt))


async def test_a_log_continues_where_the_coordinator_says(net: Network) -> None:
    node = await net.node()
    await net.submit()
    lease = await net.start(node)
    data = log_bytes("abc", "def")
    await node.say(messages.Log(lease.lease, 5, data[5:]))
    assert (await node.next(messages.LogAck)).offset == 0  # nothing before it is there
    await node.say(messages.Log(lease.lease, 0, data[:10]))
    assert (await node.next(messages.LogAck)).offset == 10
    await node.say(messages.Log(lease.lease, 20, data[20:]))
    assert (await node.next(messages.LogAck)).offset == 10
    await node.say(messages.Log(lease.lease, 4, data[4:]))  # overlaps
    assert (await node.next(messages.LogAck)).offset == len(data)
    await node.say(messages.Log(lease.lease, 0, b"something else"))  # what is there is not written over
    assert (await node.next(messages.LogAck)).offset == len(data)
    node.logs[lease.lease] = data
    assert (await node.report(lease)).code == ""


async def test_a_log_beyond_its_bound_loses_the_lease(net: Network) -> None:
    node = await net.node()
    job_id = (await net.submit())["id"]
    lease = await net.start(node)
    count, rest = divmod(limits.LOG_BYTES, limits.LOG_CHUNK_BYTES)
    assert rest == 0
    for index in range(count):
        await node.say(messages.Log(lease.lease, index * limits.LOG_CHUNK_BYTES, bytes(limits.LOG_CHUNK_BYTES)))
    await node.next(messages.LogAck, lambda ack: ack.offset == limits.LOG_BYTES)
    await node.say(messages.Log(lease.lease, limits.LOG_BYTES, b"x"))
    assert (await node.next(messages.Drop)).code == "log.too_large"
    assert await lost(net, job_id) == "log.too_large"
    assert (await node.report(lease, exit_code=1)).code == "lease.stale"
    assert await paid(net) == 0


async def test_time_is_billed_by_evidence_not_by_claim(net: Network, http: httpx.AsyncClient) -> None:
    node = await net.node()
    job_id = (await net.submit(timeout_s=3600, array={"size": 4}))["id"]
    leases = sorted([await net.start(node) for _ in range(3)], key=lambda x: x.lease.task)
    await net.age(10)
    greedy = await node.report(leases[0], wall_ms=2**53 - 1)
    assert 1000 <= greedy.price < 1000 + 100 * 60  # ten seconds, and what this test has taken since
    modest = await node.report(leases[1], wall_ms=3999)
    assert modest.price == 399
    free = await node.report(leases[2], wall_ms=0)
    assert free.price == 0 and free.code == ""
    unstarted = await node.lease()  # never said to run, so there is no evidence that it did
    assert (await node.report(unstarted, wall_ms=100_000)).price == 0
    spent = (await net.job(job_id))["spent"]
    assert spent == greedy.price + modest.price == await paid(net)


async def test_silence_is_not_evidence(net: Network) -> None:
    """An hour has passed, in which the node was heard of only at its beginning and now."""
    node = await net.node()
    await net.submit(timeout_s=7200)
    lease = await net.start(node)
    await net.age(3600)
    hour_ago = "update node_life set last_seen_at = last_seen_at - interval '1 hour' where node = $1"
    await net.pool.execute(hour_ago, node.key.public)
    ack = await node.report(lease, wall_ms=3_600_000)
    assert ack.code == "" and ack.price <= 100 * 90, ack  # economics: over-billing is at most 90 s
    assert await paid(net) == ack.price


async def test_the_price_never_exceeds_timeout_or_cap(net: Network) -> None:
    node = await net.node(ask=Ask(100, 50))
    job_id = (await net.submit(timeout_s=60, cap=6050, retries={"failures": 5}))["id"]
    lease = await net.start(node)
    await net.age(7200)
    ack = await node.report(lease, wall_ms=7_200_000, exit_code=1)
    assert ack.price == 6050  # 60 s and the fixed part
    view = await net.job(job_id)
    assert view["state"] == "failed" and view["held"] == 0  # nothing is left to pay another attempt with
    assert await paid(net) == 6050


async def test_paid_retries_stay_within_the_cap(net: Network) -> None:
    node = await net.node()
    job_id = (await net.submit(timeout_s=10, cap=3000, retries={"failures": 20}))["id"]
    prices: list[int] = []
    while (await net.job(job_id))["state"] in ("queued", "running"):
        await net.hurry()
        lease = await net.start(node)
        assert lease.remaining_cap == 3000 - sum(prices)
        await net.age(100)
        prices.append((await node.report(lease, wall_ms=9_000, exit_code=1)).price)
    assert prices == [900, 900, 900]  # what is left does not cover another worst case
    assert (await net.job(job_id))["state"] == "failed" and await paid(net) == 2700


async def test_a_lease_that_heartbeats_do_not_name_is_lost(net: Network) -> None:
    node = await net.node()
    job_id = (await net.submit())["id"]
    lease = await net.start(node)
    await node.say(messages.Heartbeat((lease.lease,), (lease.lease,)))
    await node.say(messages.Heartbeat((), ()), messages.Heartbeat((lease.lease,), ()))
    await node.say(messages.Heartbeat((), ()))
    await node.round_trip()
    assert (await net.job(job_id))["tasks"]["live"] == 1  # one that was missed is forgiven
    await node.say(messages.Heartbeat((), ()))
    assert await lost(net, job_id) == "node.forgot"
    assert (await node.report(lease)).code == "lease.stale"
    assert await paid(net) == 0


async def test_heartbeats_that_were_said_before_a_lease_came_do_not_end_it(net: Network) -> None:
    node = await net.node()
    job_id = (await net.submit())["id"]
    lease = await node.next(messages.Lease)
    await node.say(*[messages.Heartbeat((), ())] * (UNNAMED_BEATS - 1))  # all at once, as after a standstill
    await node.round_trip()
    assert (await net.job(job_id))["tasks"]["live"] == 1
    await node.say(messages.Heartbeat((lease.lease,), ()), messages.Heartbeat((), ()))
    await node.round_trip()
    assert (await net.job(job_id))["tasks"]["live"] == 1
    assert (await node.report(lease)).code == ""


async def test_a_lease_that_a_node_never_names_is_lost(net: Network) -> None:
    node = await net.node()
    job_id = (await net.submit())["id"]
    await node.next(messages.Lease)
    await node.say(*[messages.Heartbeat((), ())] * UNNAMED_BEATS)
    assert await lost(net, job_id) == "node.forgot"


async def test_a_node_that_comes_back_without_its_lease_has_lost_it(net: Network) -> None:
    node = await net.node()
    job_id = (await net.submit())["id"]
    await net.start(node)
    await node.disconnect()
    await node.connect()
    assert await lost(net, job_id) == "node.forgot"


async def test_a_refusal_goes_elsewhere_or_ends_the_task(net: Network) -> None:
    node = await net.node()
    job_id = (await net.submit(array={"size": 2}))["id"]
    first, second = await node.lease(), await node.lease()
    await node.say(messages.Refuse(first.lease, "environment.unsatisfiable", "no such version", job_fault=True))
    ack = await node.next(messages.ReportAck)
    assert (ack.lease, ack.code, ack.price) == (first.lease, "environment.unsatisfiable", 0)
    await node.say(messages.Refuse(second.lease, "Not A Code\n", "x"))
    assert (await node.next(messages.ReportAck)).code == "node.refused"
    tasks = await net.tasks(job_id)
    assert [task["state"] for task in tasks] == ["failed", "queued"]
    assert tasks[0]["attempts"][0]["cause"] == "environment.unsatisfiable"
    await net.hurry()
    assert (await node.finish()).code == ""
    view = await net.job(job_id)
    assert view["state"] == "failed" and view["tasks"]["succeeded"] == 1 and view["tasks"]["failed"] == 1
    assert await paid(net) == view["spent"]


async def test_infrastructure_failures_back_off_and_end(net: Network, http: httpx.AsyncClient) -> None:
    node = await net.node()
    job_id = (await net.submit(retries={"infrastructure": 3}))["id"]
    delays = []
    for epoch in range(1, 5):
        lease = await node.lease()
        assert lease.lease.epoch == epoch
        await node.say(messages.Refuse(lease.lease, "node.io_error", ""))
        event = await net.event(job_id, "task.lost", epoch)
        delays.append(event["data"]["retry_in_ms"])
        if epoch < 4:
            wait = await net.pool.fetchval("select ready_at - clock_timestamp() from queue")
            assert 0 < wait.total_seconds() <= delays[-1] / 1000
        await net.hurry()
    assert delays == [1000, 2000, 4000, 0]
    view = await net.job(job_id)
    assert view["state"] == "expired" and view["held"] == 0 and view["spent"] == 0
    assert (await http.get("/account")).json()["available"] == FUNDS
    assert await paid(net) == 0


async def test_running_after_the_loss_is_too_late(net: Network) -> None:
    node = await net.node()
    job_id = (await net.submit())["id"]
    lease = await node.lease()
    await net.expire(node)
    await lost(net, job_id)
    await node.next(messages.Drop)
    await node.say(messages.Running(lease.lease))
    assert (await node.next(messages.Drop)).code == "lease.stale"
    state = await net.pool.fetchval("select state from attempt where epoch = 1")
    assert state == "lost"


async def test_a_cancel_that_is_not_obeyed_ends_the_attempt(net: Network, http: httpx.AsyncClient) -> None:
    node = await net.node()
    job_id = (await net.submit())["id"]
    lease = await net.start(node)
    await http.post(f"/jobs/{job_id}/cancel")
    assert (await node.next(messages.Cancel)).lease == lease.lease
    await node.disconnect()
    await node.connect(holds=[lease.lease])
    assert (await node.next(messages.Cancel)).lease == lease.lease  # told again
    await net.pool.execute("update job set cancel_requested_at = cancel_requested_at - interval '2 minutes'")
    assert await lost(net, job_id) == "cancel.ignored"
    assert (await net.job(job_id))["state"] == "cancelled" and await paid(net) == 0


async def test_an_attempt_has_a_deadline(net: Network) -> None:
    node = await net.node()
    job_id = (await net.submit())["id"]
    await net.start(node)
    await net.pool.execute("update attempt set deadline_at = clock_timestamp()")
    assert await lost(net, job_id) == "lease.deadline"
    assert (await node.next(messages.Drop)).code == "lease.deadline"


async def upload(net: Network, headers: dict[str, str], data: bytes = b"x" * 10) -> httpx.Response:
    import hashlib

    sha256 = hashlib.sha256(data).hexdigest()
    body = {"sha256": sha256, "size_bytes": len(data)}
    return await net.http(None).post("/uploads", json=body, headers=headers)


async def test_lease_tokens_are_good_for_their_own_lease_only(net: Network, http: httpx.AsyncClient) -> None:
    import hashlib
    import time

    node, thief = await net.node("a", ask=Ask(1)), await net.node("b", ask=Ask(2))
    refs = []
    for data in (b"mine", b"hers"):
        ref = {"sha256": hashlib.sha256(data).hexdigest(), "size_bytes": 4}
        made = (await http.post("/uploads", json=ref)).json()
        await http.patch(f"/uploads/{made['id']}", content=data, headers={"upload-offset": "0"})
        refs.append(ref)
    await net.submit(inputs={"in": refs[0]})
    lease = await net.start(node)
    await net.submit(inputs={"in": refs[1]})
    reader = net.http(None)
    mine, hers = (f"/artifacts/{ref['sha256']}" for ref in refs)
    right = node.authorization(lease.lease)
    assert (await reader.get(mine, headers=right)).content == b"mine"
    problem(await reader.get(hers, headers=right), 404, "not_found")
    now_s = int(time.time())
    for headers, status, code in [
        (thief.authorization(lease.lease), 409, "lease.stale"),
        (node.authorization(lease.lease, key=KeyPair.generate()), 409, "lease.stale"),
        (node.authorization(LeaseRef(lease.lease.job_id, 0, 2)), 409, "lease.stale"),
        (node.authorization(LeaseRef(lease.lease.job_id, 1, 1)), 409, "lease.stale"),
        (node.authorization(LeaseRef(bytes(16), 0, 1)), 409, "lease.stale"),
        (node.authorization(lease.lease, now_s=now_s - 3600), 401, "auth.required"),
        (node.authorization(lease.lease, now_s=now_s + 3600), 401, "auth.required"),
        ({"authorization": right["authorization"][:-8] + "AAAAAAAA"}, 401, "auth.required"),
    ]:
        problem(await reader.get(mine, headers=headers), status, code)
        problem(await upload(net, headers), status, code)
    await node.upload(lease.lease, b"out")
    assert (await node.report(lease, outputs=[])).code == ""
    problem(await reader.get(mine, headers=right), 409, "lease.stale")
    problem(await upload(net, right), 409, "lease.stale")


async def test_an_attempt_uploads_no_more_than_its_disk_holds(net: Network) -> None:
    node = await net.node()
    await net.submit(resources={"disk_bytes": 1000}, outputs=["out.bin"])
    lease = await net.start(node)
    headers = node.authorization(lease.lease)
    assert (await upload(net, headers, b"a" * 600)).status_code == 201
    problem(await upload(net, headers, b"b" * 401), 413, "input.too_large")
    again = await upload(net, headers, b"a" * 600)
    assert again.status_code == 201  # the same announced again is the same upload
    http = net.http(None)
    assert (await http.delete(f"/uploads/{again.json()['id']}", headers=headers)).status_code == 204
    problem(await upload(net, headers, b"c" * 600), 413, "input.too_large")  # starting over gives no room
    output = await node.upload(lease.lease, b"d" * 400)
    assert (await node.report(lease, outputs=[output])).code == ""


async def test_a_nodes_upload_is_not_the_clients_until_reported(net: Network, http: httpx.AsyncClient) -> None:
    node = await net.node()
    job_id = (await net.submit(outputs=["out.bin"]))["id"]
    lease = await net.start(node)
    made = (await upload(net, node.authorization(lease.lease))).json()
    problem(await http.get(f"/uploads/{made['id']}"), 404, "not_found")
    assert (await http.get(f"/jobs/{job_id}/tasks")).json()["items"][0]["outputs"] == []


async def test_one_who_never_reads_does_not_hold_up_others(net: Network) -> None:
    """Tasks go to the cheapest first, and from there to whoever has room."""
    cheap = await net.node("cheap", ask=Ask(1), capabilities=msgspec.structs.replace(CAPABILITIES, slots=1))
    dear = await net.node("dear", ask=Ask(9))
    job_id = (await net.submit(array={"size": 3}))["id"]
    first = await cheap.lease()
    others = [await dear.lease(), await dear.lease()]
    assert sorted(lease.lease.task for lease in [first, *others]) == [0, 1, 2]
    for lease in others:
        assert (await dear.report(lease)).code == ""
    assert (await net.job(job_id))["tasks"]["succeeded"] == 2
    assert isinstance(cheap, FakeNode)
