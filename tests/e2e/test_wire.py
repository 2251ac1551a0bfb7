"""A node that lies: with the key of a real one, late, forged and replayed reports, and frames that are none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import msgspec
import pytest
from websockets.sync.client import ClientConnection, connect

from e2e.network import FIRST_NEVER_ENDS, Net, py
from hypernode.kernel.keys import KeyPair
from hypernode.ledger.receipt import NODE_CONTEXT, ReceiptBody, encode_body
from hypernode.nodes.model import DEFAULT_ASK
from hypernode.protocol import messages
from hypernode.protocol.messages import Challenge, Closing, Hello, LeaseRef, NodeMessage, Report, ReportAck, Welcome


class Liar:
    """One connection of a node that the test speaks for."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    def hear(self) -> list[messages.CoordinatorMessage]:
        frame = self._socket.recv(timeout=20)
        assert isinstance(frame, bytes)
        return messages.decode_from_coordinator(frame)

    def say(self, *what: NodeMessage) -> None:
        self._socket.send(messages.encode(list(what)))

    def say_raw(self, frame: bytes | str) -> None:
        self._socket.send(frame)

    def hello(self, key: KeyPair, net: Net, *, signer: KeyPair | None = None) -> messages.CoordinatorMessage:
        (challenge,) = self.hear()
        assert isinstance(challenge, Challenge)
        view = net.client.node(key.public)
        assert view.capabilities is not None
        # It takes nothing new: it only wants to talk about what was.
        signed = messages.hello_bytes(challenge, key.public, view.capabilities, DEFAULT_ASK, True)
        signature = (signer or key).sign(messages.HELLO_CONTEXT, signed)
        self.say(
            Hello(
                version=messages.VERSION,
                node_key=key.public,
                agent_version="0",
                capabilities=view.capabilities,
                ask=DEFAULT_ASK,
                holds=(),
                signature=signature,
                draining=True,
            )
        )
        (answer,) = self.hear()
        return answer

    def report(self, report: Report) -> ReportAck:
        """What it hears about a report."""
        self.say(report)
        while True:
            for message in self.hear():
                if isinstance(message, ReportAck):
                    return message


@contextmanager
def lying(net: Net) -> Iterator[Liar]:
    url = net.network.url.replace("http", "ws", 1) + messages.PATH
    with connect(url, compression=None, proxy=None) as socket:
        yield Liar(socket)


def report_of(body: ReceiptBody, signature: bytes) -> Report:
    ref = LeaseRef(UUID(body.run.job_id).bytes, body.work.task, body.run.epoch)
    return Report(ref, encode_body(body), signature)


def test_late_forged_and_replayed_reports_are_refused_and_unpaid(fragile: Net) -> None:
    job = fragile.client.submit(py(FIRST_NEVER_ENDS))
    fragile.until_said(job.id, "attempt 1")
    dead = fragile.name_of(fragile.until_running(job.id).node)
    key = fragile.home(dead).key()
    fragile.kill_node(dead)
    assert fragile.client.wait(job.id, 30).state == "succeeded"
    (receipt,) = fragile.check_receipts(job)
    before = fragile.check_ledger()
    stale = fragile.metric("hypernode_reports_refused_total", code="lease.stale")
    accepted = receipt.body
    run = msgspec.structs.replace(accepted.run, epoch=1, node=key.public)
    late = msgspec.structs.replace(accepted, run=run)
    others = msgspec.structs.replace(accepted, run=msgspec.structs.replace(accepted.run, node=key.public))
    with lying(fragile) as liar:
        assert isinstance(liar.hello(key, fragile), Welcome)
        answers = [
            liar.report(report_of(late, key.sign(NODE_CONTEXT, encode_body(late)))),
            liar.report(report_of(others, key.sign(NODE_CONTEXT, encode_body(others)))),
            liar.report(report_of(late, KeyPair.generate().sign(NODE_CONTEXT, encode_body(late)))),
            liar.report(report_of(accepted, receipt.node_signature)),  # true, but another node's
        ]
    assert [answer.code for answer in answers] == [
        "lease.stale",
        "lease.stale",
        "signature.invalid",
        "signature.invalid",
    ]
    assert all(answer.earned == 0 for answer in answers)
    assert fragile.metric("hypernode_reports_refused_total", code="lease.stale") == stale + 2
    assert fragile.check_ledger() == before
    fragile.settled_once(job, epoch=2)


def test_a_report_said_again_is_acknowledged_again_and_paid_once(fragile: Net) -> None:
    job = fragile.run(py("print('once')"))
    (receipt,) = fragile.check_receipts(job)
    before = fragile.check_ledger()
    name = fragile.name_of(receipt.body.run.node)
    key = fragile.home(name).key()
    fragile.kill_node(name)
    with lying(fragile) as liar:
        assert isinstance(liar.hello(key, fragile), Welcome)
        answers = [liar.report(report_of(receipt.body, receipt.node_signature)) for _ in range(3)]
    assert [(answer.code, answer.earned) for answer in answers] == [("", receipt.decision.split.operator)] * 3
    assert fragile.check_ledger() == before
    fragile.settled_once(job)


def test_nobody_connects_with_the_key_of_another(fragile: Net) -> None:
    key = fragile.home("node-1").key()
    with lying(fragile) as liar:
        answer = liar.hello(key, fragile, signer=KeyPair.generate())
    assert isinstance(answer, Closing)
    assert (answer.code, answer.retry) == ("signature.invalid", False)
    assert fragile.client.node(key.public).state == "online", "the real node was driven out"


@pytest.mark.parametrize("frame", [b"", b"\xc1", b"\x91\x81\xa1x", "text", b"\x90", b"\xff" * 1000])
def test_a_frame_that_is_none_ends_the_connection_with_a_code(fragile: Net, frame: bytes | str) -> None:
    with lying(fragile) as liar:
        liar.hear()
        liar.say_raw(frame)
        (answer,) = liar.hear()
    assert isinstance(answer, Closing)
    assert answer.code == "input.malformed"
