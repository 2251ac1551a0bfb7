"""Logs as files: idempotent appends, digests, followers."""

import asyncio
import hashlib
import os
from uuid import UUID

import pytest

from hypernode.jobs.logstore import LogRef, LogStore
from hypernode.kernel import limits
from hypernode.kernel.errors import InvalidInput, OffsetMismatch, TooLarge, Unavailable
from hypernode.kernel.ids import uuid7


@pytest.fixture
def logs(tmp_path):
    store = LogStore(tmp_path)
    yield store
    store.close_all()


@pytest.fixture
def ref():
    return LogRef(uuid7(), 3, 1)


async def collect(stream):
    return b"".join([piece async for piece in stream])


async def test_bytes_are_appended_by_offset_and_sending_again_is_harmless(logs, ref):
    assert logs.append(ref, 0, b"hello ") == 6
    assert logs.append(ref, 0, b"hello ") == 6
    assert logs.append(ref, 3, b"lo world") == 11, "only what lies beyond the end is new"
    assert logs.append(ref, 11, b"") == 11
    assert logs.end(ref) == 11
    assert await logs.read(ref, 0) == b"hello world"
    assert await logs.read(ref, 6, 3) == b"wor"
    assert await logs.read(ref, 11) == b""


async def test_a_gap_is_refused_and_the_right_offset_named(logs, ref):
    logs.append(ref, 0, b"abc")
    with pytest.raises(OffsetMismatch) as caught:
        logs.append(ref, 4, b"e")
    assert caught.value.extra == {"offset": 3}
    assert await logs.read(ref, 0) == b"abc"


async def test_a_log_is_bounded(logs, ref, monkeypatch):
    monkeypatch.setattr(limits, "LOG_BYTES", 10)
    logs.append(ref, 0, b"0123456789")
    with pytest.raises(TooLarge):
        logs.append(ref, 10, b"x")
    assert logs.end(ref) == 10


async def test_attempts_and_tasks_have_logs_of_their_own(logs, ref):
    other = LogRef(ref.job_id, ref.task, ref.epoch + 1)
    logs.append(ref, 0, b"first")
    logs.append(other, 0, b"second")
    assert await logs.read(ref, 0) == b"first"
    assert await logs.read(other, 0) == b"second"


async def test_finish_gives_the_hash_of_the_bytes_and_may_be_repeated(logs, ref):
    for piece in range(1000):
        logs.append(ref, logs.end(ref), b"line %d\n" % piece)
    expected = hashlib.sha256(await logs.read(ref, 0, limits.LOG_BYTES)).hexdigest()
    digest = await logs.finish(ref)
    assert digest.root == expected
    assert digest.size_bytes == logs.end(ref)
    assert await logs.finish(ref) == digest


async def test_a_job_that_wrote_nothing_has_the_empty_hash_and_no_file(logs, ref, tmp_path):
    digest = await logs.finish(ref)
    assert (digest.root, digest.size_bytes) == (hashlib.sha256().hexdigest(), 0)
    assert await logs.read(ref, 0) == b""
    assert not list((tmp_path / "logs").iterdir())


async def test_a_new_process_goes_on_where_the_file_ends(logs, ref, tmp_path):
    logs.append(ref, 0, b"before")
    again = LogStore(tmp_path)
    assert again.end(ref) == 6
    assert again.append(ref, 3, b"ore after") == 12
    assert (await again.finish(ref)).size_bytes == 12
    again.close_all()


async def test_only_so_many_files_are_open(tmp_path):
    logs = LogStore(tmp_path, open_files=4)
    refs = [LogRef(uuid7(), 0, 1) for _ in range(20)]
    before = len(os.listdir("/proc/self/fd"))
    for round_ in range(3):
        for ref in refs:
            logs.append(ref, round_, b"x")
    assert len(os.listdir("/proc/self/fd")) - before <= 4
    assert all([await logs.read(ref, 0) == b"xxx" for ref in refs])
    logs.close_all()
    assert len(os.listdir("/proc/self/fd")) <= before


async def test_files_are_private(logs, ref, tmp_path):
    logs.append(ref, 0, b"secret")
    path = tmp_path / "logs" / str(ref.job_id) / "3.1.log"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


async def test_a_path_cannot_be_smuggled_in(logs):
    with pytest.raises((ValueError, TypeError)):
        logs.append(LogRef(UUID(int=0), "../../x", 1), 0, b"x")  # type: ignore[arg-type]


async def test_negative_offsets_are_refused(logs, ref):
    with pytest.raises(InvalidInput):
        await logs.read(ref, -1)


async def test_followers_get_everything_in_order_as_it_comes(logs, ref):
    logs.append(ref, 0, b"0")
    followers = [asyncio.create_task(collect(logs.follow(ref, offset))) for offset in (0, 0, 5)]
    expected = b"0"
    for number in range(1, 500):
        piece = b"%d," % number
        logs.append(ref, len(expected), piece)
        expected += piece
        if number % 7 == 0:
            await asyncio.sleep(0)
    logs.close(ref)
    assert await asyncio.gather(*followers) == [expected, expected, expected[5:]]


async def test_an_append_wakes_a_follower_long_before_it_would_look_itself(logs, ref, monkeypatch):
    monkeypatch.setattr(limits, "POLL_S", 3600)
    stream = logs.follow(ref)
    first = asyncio.create_task(anext(stream))
    await asyncio.sleep(0.05)
    logs.append(ref, 0, b"there")
    assert await asyncio.wait_for(first, 10) == b"there"
    rest = asyncio.create_task(collect(stream))
    await asyncio.sleep(0.05)
    logs.close(ref)
    assert await asyncio.wait_for(rest, 10) == b""


async def test_a_follower_sees_what_another_process_wrote_and_that_it_ended(logs, ref, tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "POLL_S", 0.01)
    elsewhere, over = LogStore(tmp_path), False

    async def ended():
        return over

    stream = asyncio.create_task(collect(logs.follow(ref, ended=ended)))
    await asyncio.sleep(0.03)
    elsewhere.append(ref, 0, b"from elsewhere")
    elsewhere.close(ref)
    over = True
    assert await asyncio.wait_for(stream, 10) == b"from elsewhere"


async def test_following_an_attempt_that_is_over_gives_its_log_and_ends(logs, ref):
    logs.append(ref, 0, b"all there is")
    logs.close(ref)

    async def ended():
        return True

    assert await asyncio.wait_for(collect(logs.follow(ref, 4, ended=ended)), 10) == b"there is"


async def test_a_follower_that_leaves_is_forgotten(logs, ref):
    logs.append(ref, 0, b"x")
    stream = logs.follow(ref)
    assert await anext(stream) == b"x"
    await stream.aclose()
    assert not logs._followers


async def test_a_slow_follower_does_not_hold_the_writer_up(logs, ref):
    slow = logs.follow(ref)
    logs.append(ref, 0, b"a" * limits.LOG_CHUNK_BYTES)
    assert len(await anext(slow)) == limits.LOG_CHUNK_BYTES
    for number in range(1, 32):
        logs.append(ref, number * limits.LOG_CHUNK_BYTES, b"a" * limits.LOG_CHUNK_BYTES)
    logs.close(ref)
    assert len(await collect(slow)) == 31 * limits.LOG_CHUNK_BYTES


async def test_a_full_disk_is_a_typed_error_and_the_log_goes_on_later(logs, ref, monkeypatch):
    logs.append(ref, 0, b"abc")
    real = os.pwrite
    answers = iter([lambda fd, data, at: real(fd, data[:2], at), None])

    def full(fd, data, at):
        answer = next(answers)
        if answer is None:
            raise OSError(28, "No space left on device")
        return answer(fd, data, at)

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(Unavailable):
        logs.append(ref, 3, b"defg")
    monkeypatch.setattr(os, "pwrite", real)
    assert logs.end(ref) == 5
    assert logs.append(ref, 3, b"defg") == 7
    assert await logs.read(ref, 0) == b"abcdefg"
