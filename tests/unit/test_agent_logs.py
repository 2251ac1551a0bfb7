"""Log files: their bound whatever a job writes, their order, and which bytes are sent when."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hypernode.agent import logs
from hypernode.agent.logs import LogFile, LogSender
from hypernode.jobs.logs import HEADER_BYTES, STDERR, STDOUT, FrameReader
from hypernode.kernel import limits
from hypernode.kernel.errors import InvariantViolated
from hypernode.protocol.messages import LeaseRef

LEASE = LeaseRef(bytes(16), 0, 1)


def frames_of(path: Path) -> list[tuple[int, bytes]]:
    return [(frame.stream, frame.data) for frame in FrameReader().feed(path.read_bytes())]


def made(path: Path) -> LogFile:
    return LogFile(path, lambda size_bytes: None, clock_ms=lambda: 1)


async def test_small_writes_share_a_frame_and_keep_their_order(tmp_path: Path) -> None:
    log = made(tmp_path / "log")
    for _ in range(10):
        log.write(STDOUT, b"a")
    log.write(STDERR, b"b")
    log.write(STDOUT, b"c")
    await log.close()
    assert frames_of(tmp_path / "log") == [(STDOUT, b"a" * 10), (STDERR, b"b"), (STDOUT, b"c")]
    assert log.root == hashlib.sha256((tmp_path / "log").read_bytes()).hexdigest()
    assert log.size_bytes == (tmp_path / "log").stat().st_size


async def test_a_write_arrives_soon_without_company(tmp_path: Path) -> None:
    written = asyncio.Event()
    log = LogFile(tmp_path / "log", lambda size_bytes: written.set())
    log.write(STDOUT, b"x")
    await asyncio.wait_for(written.wait(), 5)
    assert frames_of(tmp_path / "log") == [(STDOUT, b"x")]
    log.discard()


async def test_nothing_written_makes_no_file(tmp_path: Path) -> None:
    log = made(tmp_path / "log")
    await log.close()
    assert not (tmp_path / "log").exists()
    assert (log.size_bytes, log.root) == (0, hashlib.sha256(b"").hexdigest())


@pytest.mark.parametrize("piece", [1, 100, 70_000])
async def test_the_worst_writer_stays_below_the_bound(tmp_path: Path, piece: int, monkeypatch) -> None:
    """Every write is flushed at once for as long as delays are finite: more headers than any clock would allow."""
    log = made(tmp_path / "log")
    left, stream = logs.PAYLOAD_BYTES, STDOUT
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "call_later", lambda delay, call: loop.call_soon(call))
    written = {STDOUT: hashlib.sha256(), STDERR: hashlib.sha256()}
    flushed = 0
    while left:
        data = bytes(min(piece if left > logs.PAYLOAD_BYTES - 500_000 * piece else 9_000, left))
        log.write(stream, data)
        written[stream].update(data)
        left -= len(data)
        stream = STDERR if stream == STDOUT else STDOUT
        if flushed < 400_000 and logs.delay_s(log._headers) is not None:
            flushed += 1
            log._flush()
    for _ in range(100):
        log.note("n" * 1000)
    await log.close()
    assert log.size_bytes <= limits.LOG_BYTES
    found = {STDOUT: hashlib.sha256(), STDERR: hashlib.sha256()}
    for number, data in frames_of(tmp_path / "log"):
        if not data.strip(b"\0"):
            found[number].update(data)
    assert found[STDOUT].digest() == written[STDOUT].digest()
    with pytest.raises(InvariantViolated):
        made(tmp_path / "more").write(STDOUT, bytes(logs.PAYLOAD_BYTES + 1))


async def test_a_disk_that_fails_is_said_to_the_next_who_asks(tmp_path: Path) -> None:
    log = made(tmp_path / "missing" / "log")
    log.write(STDOUT, b"x")
    await asyncio.sleep(0.05)
    with pytest.raises(FileNotFoundError):
        log.write(STDOUT, b"y")
    with pytest.raises(FileNotFoundError):
        await log.close()
    log.discard()


def test_delays_grow_with_the_headers_spent() -> None:
    delays = [logs.delay_s(spent) for spent in range(0, logs.HEADERS_BYTES, HEADER_BYTES * 1000)]
    finite = [delay for delay in delays if delay is not None]
    assert finite == sorted(finite) and logs.delay_s(logs.HEADERS_BYTES) is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.lists(st.one_of(st.integers(0, 3_000_000), st.sampled_from(["lost", "send", "grow"])), max_size=30))
async def test_a_sender_keeps_to_its_window_and_delivers_everything(tmp_path: Path, steps: list[int | str]) -> None:
    path = tmp_path / "log"
    content = bytes(range(256)) * 8192  # 2 MiB
    path.write_bytes(content)
    sender = LogSender(LEASE, path, 0)
    received = bytearray()

    def send() -> None:
        for message in sender.next_messages():
            assert len(message.data) <= limits.LOG_CHUNK_BYTES
            assert message.offset + len(message.data) <= sender.acknowledged + limits.LOG_WINDOW_BYTES
            if message.offset <= len(received):
                received[message.offset :] = message.data

    for step in steps:
        if step == "lost":
            del received[sender.acknowledged :]
            sender.reconnected()
        elif step == "send":
            send()
        elif step == "grow":
            sender.grown(min(len(content), sender.size_bytes + 300_000))
        elif isinstance(step, int) and sender.acknowledged <= step <= len(received):
            sender.acknowledge(step)
        assert sender.complete.is_set() == (sender.acknowledged == sender.size_bytes)
    sender.grown(len(content))
    sender.reconnected()
    for _ in range(10):
        send()
        sender.acknowledge(len(received))
    assert received == content
    assert sender.complete.is_set()


def test_a_coordinator_that_lost_bytes_gets_them_again(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"0123456789")
    sender = LogSender(LEASE, tmp_path / "log", 10)
    sender.next_messages()
    sender.acknowledge(8)
    sender.acknowledge(11)  # of what was never written
    assert sender.acknowledged == 8
    sender.acknowledge(3)
    assert [(message.offset, message.data) for message in sender.next_messages()] == [(3, b"3456789")]
