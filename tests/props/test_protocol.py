"""Frames, tokens, receipts and logs: what was made is read back, and what was changed is refused in one known way."""

import asyncio
import base64
import contextlib
from uuid import UUID

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hypernode.coordinator.node_socket import _chunks
from hypernode.events.hints import Hint
from hypernode.jobs.logs import HEADER_BYTES, STDERR, STDOUT, FrameReader, LogFrame, encode_frame
from hypernode.kernel import keys, limits
from hypernode.kernel.canonical import canonical, content_id
from hypernode.kernel.errors import BadSignature, InvalidInput, JoinTokenInvalid, Malformed, TooLarge, Unauthenticated
from hypernode.ledger.receipt import (
    COORDINATOR_CONTEXT,
    NODE_CONTEXT,
    Decision,
    Receipt,
    ReceiptBody,
    countersigned,
    decode_body,
    encode_body,
    encode_decision,
    verify,
    work_id,
)
from hypernode.nodes.model import JoinToken
from hypernode.protocol import messages, tokens
from hypernode.protocol.messages import LeaseRef
from props.strategies import asks, bodies, capabilities, decisions, words

leases = st.builds(
    LeaseRef,
    st.binary(min_size=16, max_size=16),
    st.integers(0, limits.ARRAY_TASKS - 1),
    st.integers(1, 2**31 - 1),
)
some_leases = st.lists(leases, max_size=4).map(tuple)
signatures = st.binary(min_size=64, max_size=64)
from_node = st.one_of(
    st.builds(
        messages.Hello,
        version=st.integers(-(2**31), 2**31),
        node_key=st.text(max_size=44),
        agent_version=words,
        capabilities=capabilities,
        ask=asks,
        holds=some_leases,
        signature=st.binary(max_size=64),
        draining=st.booleans(),
    ),
    st.builds(messages.Heartbeat, some_leases, some_leases),
    st.builds(messages.Running, leases),
    st.builds(messages.Log, leases, st.integers(0, limits.LOG_BYTES), st.binary(max_size=100)),
    st.builds(messages.Report, leases, st.binary(max_size=100), signatures),
    st.builds(messages.Refuse, leases, words, words, st.booleans()),
    st.builds(messages.Drain),
)
logins = st.none() | st.builds(messages.RegistryLogin, words, words)
from_coordinator = st.one_of(
    st.builds(messages.Challenge, st.integers(0, 9), st.binary(min_size=32, max_size=32), st.text(max_size=44)),
    st.builds(messages.Welcome, st.binary(max_size=16), st.integers(0, 9), st.integers(0, 9), some_leases),
    st.builds(messages.Lease, leases, st.binary(max_size=100), st.integers(0, 2**53), logins),
    st.builds(messages.Cancel, leases),
    st.builds(messages.Drop, leases, words),
    st.builds(messages.LogAck, leases, st.integers(0, limits.LOG_BYTES)),
    st.builds(messages.ReportAck, leases, words, st.integers(0, 2**53 - 1), st.integers(0, 2**53 - 1)),
    st.builds(messages.Closing, words, words, st.booleans()),
)


@given(st.lists(from_node, max_size=5), st.lists(from_coordinator, max_size=5))
def test_frames_are_read_as_they_were_written(up: list, down: list) -> None:
    assert messages.decode_from_node(messages.encode(up)) == up
    assert messages.decode_from_coordinator(messages.encode(down)) == down
    if up:
        with pytest.raises(Malformed):
            messages.decode_from_coordinator(messages.encode(up))
    if down:
        with pytest.raises(Malformed):
            messages.decode_from_node(messages.encode(down))


@given(st.binary(max_size=300))
def test_random_bytes_are_malformed(frame: bytes) -> None:
    for read in (messages.decode_from_node, messages.decode_from_coordinator):
        with contextlib.suppress(Malformed):
            assert read(frame) == []


@given(st.lists(from_node, min_size=1, max_size=3), st.data())
def test_a_mutated_frame_is_a_frame_or_malformed(said: list, data: st.DataObject) -> None:
    frame = bytearray(messages.encode(said))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(frame) - 1))
        match data.draw(st.sampled_from(["flip", "cut", "insert"])):
            case "flip":
                frame[at] ^= 1 << data.draw(st.integers(0, 7))
            case "cut":
                del frame[at : at + data.draw(st.integers(1, 8))]
            case "insert":
                frame[at:at] = data.draw(st.binary(min_size=1, max_size=8))
        if not frame:
            break
    try:
        found = messages.decode_from_node(bytes(frame))
    except Malformed:
        return
    assert messages.decode_from_node(messages.encode(found)) == found


def test_a_frame_beyond_the_bound_is_not_even_read() -> None:
    for read in (messages.decode_from_node, messages.decode_from_coordinator):
        with pytest.raises(TooLarge):
            read(bytes(limits.FRAME_BYTES + 1))


@example([(0, limits.SECRET_CHARS)] * 50)
@given(st.lists(st.tuples(st.integers(0, limits.DOCUMENT_BYTES), st.integers(0, limits.SECRET_CHARS)), max_size=40))
def test_leases_fit_into_frames_whatever_they_carry(sizes: list[tuple[int, int]]) -> None:
    ref = LeaseRef(bytes(16), 0, 1)
    said = [
        messages.Lease(ref, bytes(document), 1, messages.RegistryLogin("u" * 256, "€" * password))
        for document, password in sizes * 4
    ]
    frames = [messages.encode(chunk) for chunk in _chunks(list(said))]
    assert all(len(frame) <= limits.FRAME_BYTES for frame in frames)
    assert [message for frame in frames for message in messages.decode_from_coordinator(frame)] == said


KEY = keys.KeyPair(b"k" * 32)
OTHER = keys.KeyPair(b"o" * 32)
COORDINATOR = keys.KeyPair(b"c" * 32)


def receipt_of(body: ReceiptBody, decision: Decision) -> Receipt:
    """A good receipt of these, their split made to add up."""
    body = msgspec.structs.replace(body, run=msgspec.structs.replace(body.run, node=KEY.public))
    parts = decision.split
    total = parts.operator // 8 + parts.treasury // 8 + parts.incentive // 8 + parts.stakers // 8
    split = msgspec.structs.replace(
        parts,
        price=total,
        operator=parts.operator // 8,
        treasury=parts.treasury // 8,
        incentive=parts.incentive // 8,
        stakers=parts.stakers // 8,
    )
    decision = msgspec.structs.replace(decision, split=split, coordinator=COORDINATOR.public)
    data = encode_body(body)
    signature = COORDINATOR.sign(COORDINATOR_CONTEXT, countersigned(data, encode_decision(decision)))
    return Receipt(
        body=body, node_signature=KEY.sign(NODE_CONTEXT, data), decision=decision, coordinator_signature=signature
    )


@given(bodies, decisions, st.data())
def test_a_receipt_with_any_byte_changed_does_not_verify(
    body: ReceiptBody, decision: Decision, data: st.DataObject
) -> None:
    receipt = receipt_of(body, decision)
    verify(receipt, KEY.public, COORDINATOR.public)
    text = bytearray(canonical(receipt))
    assert msgspec.json.decode(bytes(text), type=Receipt) == receipt
    at = data.draw(st.integers(0, len(text) - 1))
    text[at] ^= 1 << data.draw(st.integers(0, 6))
    try:
        changed = msgspec.json.decode(bytes(text), type=Receipt)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return  # no receipt any more
    if changed == receipt:
        return  # such as another spelling of the same base64
    with pytest.raises((BadSignature, InvalidInput)):
        verify(changed)


@given(bodies, decisions, bodies)
def test_halves_of_two_receipts_make_none(body: ReceiptBody, decision: Decision, second: ReceiptBody) -> None:
    one, other = receipt_of(body, decision), receipt_of(second, decision)
    if one.body == other.body:
        return
    for mixed in (
        msgspec.structs.replace(one, body=other.body),
        msgspec.structs.replace(one, node_signature=other.node_signature),
        msgspec.structs.replace(one, body=other.body, node_signature=other.node_signature),
    ):
        with pytest.raises(BadSignature):
            verify(mixed)


@given(bodies, decisions)
def test_what_is_countersigned_is_canonical(body: ReceiptBody, decision: Decision) -> None:
    data = encode_body(body)
    parts = {"body": content_id(data), "decision": msgspec.to_builtins(decision)}
    assert countersigned(data, encode_decision(decision)) == canonical(parts)


@given(bodies)
def test_a_statement_has_one_form(body: ReceiptBody) -> None:
    data = encode_body(body)
    assert decode_body(data) == body
    for other in (data + b" ", b" " + data, data.replace(b'"run"', b'"run" ', 1)):
        with pytest.raises(Malformed):
            decode_body(other)


@given(bodies, bodies)
def test_the_work_id_does_not_depend_on_the_run(one: ReceiptBody, other: ReceiptBody) -> None:
    assert (work_id(one.work) == work_id(other.work)) == (one.work == other.work)
    assert work_id(msgspec.structs.replace(one, run=other.run).work) == work_id(one.work)


@given(st.binary(max_size=600))
def test_any_bytes_are_a_statement_or_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        decode_body(data)


@given(leases, st.integers(0, 2**40), st.data())
def test_a_lease_token_is_good_for_its_time_and_as_it_is(lease: LeaseRef, now_s: int, data: st.DataObject) -> None:
    text = tokens.mint(KEY, lease, now_s)
    token = tokens.read(text, now_s)
    assert token.node == KEY.public and token.lease == lease and token.job_id == UUID(bytes=lease.job_id)
    last = now_s + limits.LEASE_TOKEN_S + limits.CLOCK_SKEW_S
    tokens.read(text, last)
    tokens.read(text, now_s - limits.CLOCK_SKEW_S)
    for when in (last + 1, now_s - limits.CLOCK_SKEW_S - 1):
        with pytest.raises(Unauthenticated):
            tokens.read(text, when)
    raw = bytearray(base64.urlsafe_b64decode(text))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(Unauthenticated):
        tokens.read(base64.urlsafe_b64encode(bytes(raw)).decode(), now_s)
    body = bytes(base64.urlsafe_b64decode(text))[64:]
    for forger, context in ((OTHER, messages.LEASE_TOKEN_CONTEXT), (KEY, messages.HELLO_CONTEXT)):
        with pytest.raises(Unauthenticated):
            tokens.read(base64.urlsafe_b64encode(forger.sign(context, body) + body).decode(), now_s)


@given(st.text(max_size=300))
def test_any_text_is_no_lease_token(text: str) -> None:
    with pytest.raises(Unauthenticated):
        tokens.read(text, 0)


join_tokens = st.builds(
    JoinToken,
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), min_size=1, max_size=3).map(tuple),
    st.binary(max_size=32),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=16, max_size=40),
)


@given(join_tokens, st.data())
def test_a_join_token_is_one_word_and_read_as_it_was_written(token: JoinToken, data: st.DataObject) -> None:
    text = token.text()
    assert JoinToken.parse(text) == JoinToken.parse(f"  {text}\n") == token
    assert all(character.isalnum() or character in "-_" for character in text)
    cut = data.draw(st.integers(0, len(text) - 1))
    with contextlib.suppress(JoinTokenInvalid):
        assert JoinToken.parse(text[:cut]) != token


@given(st.text(max_size=100), st.binary(max_size=100))
def test_any_text_is_no_join_token(text: str, data: bytes) -> None:
    for attempt in (text, JoinToken.PREFIX + text, JoinToken.PREFIX + base64.urlsafe_b64encode(data).decode()):
        try:
            token = JoinToken.parse(attempt)
        except JoinTokenInvalid:
            continue
        assert JoinToken.parse(token.text()) == token


frames = st.lists(
    st.builds(LogFrame, st.sampled_from([STDOUT, STDERR]), st.integers(0, 2**64 - 1), st.binary(max_size=50)),
    max_size=8,
)


@given(frames, st.data())
def test_a_log_in_pieces_of_any_size_has_the_same_frames(written: list[LogFrame], data: st.DataObject) -> None:
    whole = b"".join(map(encode_frame, written))
    reader = FrameReader()
    found: list[LogFrame] = []
    ends: list[int] = []
    rest = whole
    while rest:
        size = data.draw(st.integers(1, max(1, len(rest))))
        for frame in reader.feed(rest[:size]):
            found.append(frame)
            ends.append(reader.offset)
        rest = rest[size:]
    assert found == written and reader.offset == len(whole)
    for index, end in enumerate(ends):  # each offset is where the next frame begins
        assert list(FrameReader().feed(whole[end:])) == written[index + 1 :]


@given(frames, st.integers(3, 255), st.binary(min_size=HEADER_BYTES, max_size=40))
def test_what_is_no_log_is_noticed_after_what_is(written: list[LogFrame], stream: int, junk: bytes) -> None:
    good = b"".join(map(encode_frame, written))
    reader = FrameReader()
    found: list[LogFrame] = []
    with pytest.raises(ValueError, match="not a log"):
        found.extend(reader.feed(good + bytes([stream]) + junk[1:]))
    assert found == written and reader.offset == len(good)


@given(st.lists(st.sampled_from(["give", "wait", "late"]), max_size=20))
@settings(deadline=None)
def test_a_hint_is_never_missed(steps: list[str]) -> None:
    """Who takes the count, then looks, then waits, is woken by whatever happened in between."""

    async def run() -> None:
        hint = Hint()
        waiting: list[asyncio.Task[None]] = []
        for step in steps:
            if step == "give":
                hint.give()
                for task in waiting:
                    await asyncio.wait_for(task, 5)
                waiting.clear()
            elif step == "wait":
                waiting.append(asyncio.create_task(hint.wait(hint.count, 60)))
                await asyncio.sleep(0)
            else:
                seen = hint.count
                hint.give()
                await asyncio.wait_for(hint.wait(seen, 60), 5)
                for task in waiting:
                    await asyncio.wait_for(task, 5)
                waiting.clear()
        assert not any(task.done() for task in waiting)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert not hint._waiting
        await hint.wait(hint.count, 0)  # a wait has an end also when nothing happens

    asyncio.run(run())


@given(st.binary(max_size=60), st.binary(max_size=60), st.text(max_size=10), st.text(max_size=10))
def test_a_signature_is_for_one_message_and_purpose(message: bytes, other: bytes, context: str, purpose: str) -> None:
    try:
        signature = KEY.sign(context, message)
        keys.verify(KEY.public, context, message, signature)
    except UnicodeEncodeError:
        return
    wrong = [(KEY.public, context, other), (KEY.public, purpose, message), (OTHER.public, context, message)]
    for public, said, about in wrong:
        if (public, said, about) != (KEY.public, context, message):
            with pytest.raises(BadSignature):
                keys.verify(public, said, about, signature)


@given(st.text(max_size=50) | st.binary(min_size=30, max_size=34).map(lambda raw: base64.b64encode(raw).decode()))
def test_any_text_is_a_key_or_invalid(text: str) -> None:
    with contextlib.suppress(InvalidInput):
        assert len(keys.public_bytes(text)) == 32
