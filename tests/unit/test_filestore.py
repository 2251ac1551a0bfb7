"""Files by content: resuming, exclusion of a second writer, hashes, crashes and full disks."""

import asyncio
import hashlib
import os
import random

import pytest

from hypernode.artifacts.filestore import FileStore
from hypernode.artifacts.ranges import ByteRange, parse_range
from hypernode.kernel import limits
from hypernode.kernel.errors import (
    Conflict,
    HashMismatch,
    InvalidInput,
    OffsetMismatch,
    RangeNotSatisfiable,
    TooLarge,
    Unavailable,
)
from hypernode.kernel.ids import uuid7

MIB = limits.MIB


def sha(data):
    return hashlib.sha256(data).hexdigest()


async def pieces(data, size=64 * 1024):
    for start in range(0, len(data), size):
        yield data[start : start + size]


class Body:
    """A body fed by the test."""

    def __init__(self):
        self.queue: asyncio.Queue[bytes | None] = asyncio.Queue()

    def __aiter__(self):
        return self

    async def __anext__(self):
        item = await self.queue.get()
        if item is None:
            raise StopAsyncIteration
        return item


@pytest.fixture
def files(tmp_path):
    return FileStore(tmp_path)


async def put(files, data, upload_id=None, offset=0):
    upload_id = upload_id or uuid7()
    return await files.append(upload_id, offset, pieces(data[offset:]), sha256=sha(data), size_bytes=len(data))


async def read(files, data, start=0, end=None):
    part = ByteRange(start, len(data) if end is None else end)
    chunks = [chunk async for chunk in files.read(sha(data), part)]
    assert all(len(chunk) <= limits.CHUNK_BYTES for chunk in chunks)
    return b"".join(chunks)


@pytest.mark.parametrize("size", [0, 1, 65536, MIB - 1, MIB, MIB + 1, 5 * MIB + 7])
async def test_bytes_out_are_bytes_in(files, size, tmp_path):
    data = random.Random(size).randbytes(size)
    assert await put(files, data) == size
    assert files.size(sha(data)) == size
    assert await read(files, data) == data
    path = tmp_path / "artifacts" / sha(data)[:2] / sha(data)[2:]
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert not list((tmp_path / "uploads").iterdir())
    assert not files._states


async def test_ranges_are_read(files):
    data = random.Random(1).randbytes(3 * MIB)
    await put(files, data)
    for start, end in [(0, 1), (MIB - 1, MIB + 1), (5, 3 * MIB), (3 * MIB - 1, 3 * MIB)]:
        assert await read(files, data, start, end) == data[start:end]


async def test_an_upload_goes_on_in_another_process(files, tmp_path):
    data = random.Random(2).randbytes(2 * MIB)
    upload_id = uuid7()
    assert await files.append(upload_id, 0, pieces(data[:700_000]), sha256=sha(data), size_bytes=len(data)) == 700_000
    again = FileStore(tmp_path)
    assert again.offset(upload_id) == 700_000
    assert await put(again, data, upload_id, 700_000) == len(data)
    assert await read(again, data) == data


async def test_a_body_that_breaks_off_leaves_what_arrived(files):
    data = random.Random(3).randbytes(MIB)

    async def broken():
        yield data[:1000]
        raise ConnectionResetError

    upload_id = uuid7()
    with pytest.raises(ConnectionResetError):
        await files.append(upload_id, 0, broken(), sha256=sha(data), size_bytes=len(data))
    assert files.offset(upload_id) == 1000
    await put(files, data, upload_id, 1000)
    assert await read(files, data) == data


async def test_a_cancelled_request_leaves_what_arrived(files):
    data, body, upload_id = b"x" * 3 * MIB, Body(), uuid7()
    task = asyncio.create_task(files.append(upload_id, 0, body, sha256=sha(data), size_bytes=len(data)))
    body.queue.put_nowait(data[: MIB + 5])
    body.queue.put_nowait(data[:7])
    while not body.queue.empty():
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert files.offset(upload_id) == MIB + 12
    await put(files, data, upload_id, MIB + 12)


async def test_a_silent_body_counts_as_ended(tmp_path):
    files, body, upload_id = FileStore(tmp_path, silence_s=0.05), Body(), uuid7()
    body.queue.put_nowait(b"abc")
    assert await files.append(upload_id, 0, body, sha256=sha(b"abcdef"), size_bytes=6) == 3
    assert files.offset(upload_id) == 3


@pytest.mark.parametrize("offset", [1, 3, 5])
async def test_only_the_exact_continuation_is_taken(files, offset):
    upload_id = uuid7()
    await files.append(upload_id, 0, pieces(b"ab"), sha256=sha(b"abcdef"), size_bytes=6)
    with pytest.raises(OffsetMismatch) as caught:
        await files.append(upload_id, offset, pieces(b"x"), sha256=sha(b"abcdef"), size_bytes=6)
    assert caught.value.extra == {"offset": 2}


async def test_a_wrong_hash_deletes_the_upload_and_stores_nothing(files, tmp_path):
    upload_id = uuid7()
    with pytest.raises(HashMismatch):
        await files.append(upload_id, 0, pieces(b"tampered"), sha256=sha(b"original"), size_bytes=8)
    assert files.offset(upload_id) == 0
    assert files.size(sha(b"original")) is None
    assert files.size(sha(b"tampered")) is None
    assert not list((tmp_path / "uploads").iterdir())


async def test_a_piece_changed_on_the_disk_between_two_processes_is_found(files, tmp_path):
    upload_id = uuid7()
    await files.append(upload_id, 0, pieces(b"orig"), sha256=sha(b"original"), size_bytes=8)
    (tmp_path / "uploads" / str(upload_id)).write_bytes(b"evil")
    with pytest.raises(HashMismatch):
        await FileStore(tmp_path).append(upload_id, 4, pieces(b"inal"), sha256=sha(b"original"), size_bytes=8)


async def test_more_bytes_than_announced_are_refused(files):
    upload_id = uuid7()
    with pytest.raises(TooLarge):
        await files.append(upload_id, 0, pieces(b"abcdefg"), sha256=sha(b"abcdef"), size_bytes=6)
    assert files.offset(upload_id) == 0


async def test_the_newer_of_two_requests_at_the_same_place_wins_and_nothing_is_mixed(files):
    data = random.Random(4).randbytes(2 * MIB)
    body, upload_id = Body(), uuid7()
    old = asyncio.create_task(files.append(upload_id, 0, body, sha256=sha(data), size_bytes=len(data)))
    body.queue.put_nowait(b"dead connection")
    while not body.queue.empty():
        await asyncio.sleep(0.001)
    assert files.is_receiving(upload_id)
    assert await put(files, data, upload_id) == len(data)
    with pytest.raises(Conflict):
        await old
    assert await read(files, data) == data


async def test_many_requests_for_one_upload_never_mix(files):
    data = random.Random(5).randbytes(3 * MIB + 17)
    upload_id = uuid7()

    async def client(seed):
        chance = random.Random(seed)
        while files.size(sha(data)) is None:
            offset = files.offset(upload_id)
            part = data[offset : offset + chance.randrange(1, MIB)]
            try:
                await files.append(upload_id, offset, pieces(part, 4096), sha256=sha(data), size_bytes=len(data))
            except (Conflict, OffsetMismatch):
                await asyncio.sleep(chance.random() / 100)

    await asyncio.wait_for(asyncio.gather(*(client(seed) for seed in range(5))), 60)
    assert await read(files, data) == data


async def test_another_process_cannot_write_the_same_upload(files, tmp_path):
    body, upload_id = Body(), uuid7()
    mine = asyncio.create_task(files.append(upload_id, 0, body, sha256=sha(b"abc"), size_bytes=3))
    await asyncio.sleep(0.01)
    with pytest.raises(Conflict, match="another process"):
        await FileStore(tmp_path).append(upload_id, 0, pieces(b"xyz"), sha256=sha(b"abc"), size_bytes=3)
    body.queue.put_nowait(b"abc")
    body.queue.put_nowait(None)
    assert await mine == 3


async def test_a_deleted_upload_ends_the_request_that_sends_it(files):
    body, upload_id = Body(), uuid7()
    sending = asyncio.create_task(files.append(upload_id, 0, body, sha256=sha(b"abc"), size_bytes=3))
    await asyncio.sleep(0.01)
    await files.discard(upload_id)
    with pytest.raises(Conflict):
        await sending
    assert files.offset(upload_id) == 0
    assert await files.upload_ids() == []
    assert not files._states


async def test_an_artifact_may_be_stored_twice_while_it_is_read(files):
    data = random.Random(6).randbytes(2 * MIB)
    await put(files, data)
    stream = files.read(sha(data), ByteRange(0, len(data)))
    first = await anext(stream)
    await put(files, data)
    assert first + b"".join([chunk async for chunk in stream]) == data


@pytest.mark.parametrize("call", ["pwrite", "fsync"])
async def test_a_full_disk_is_typed_and_leaves_nothing_half_written(files, monkeypatch, call):
    data, upload_id = random.Random(7).randbytes(2 * MIB), uuid7()
    await files.append(upload_id, 0, pieces(data[:MIB]), sha256=sha(data), size_bytes=len(data))
    real, left = getattr(os, call), [1 if call == "pwrite" else 0]

    def full(fd, *args):
        if left[0] and args:  # a part still fits
            left[0] -= 1
            return real(fd, args[0][:1000], args[1])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, call, full)
        with pytest.raises(Unavailable, match="no disk space"):
            await put(files, data, upload_id, MIB)
    assert files.size(sha(data)) is None
    offset = files.offset(upload_id)
    assert offset == (MIB if call == "pwrite" else 2 * MIB)
    await put(files, data, upload_id, offset)
    assert await read(files, data) == data


@pytest.mark.parametrize("name", ["../../etc/passwd", "A" * 64, "0" * 63, "0" * 64 + "\n", ""])
async def test_only_a_hash_becomes_a_path(files, name):
    with pytest.raises(InvalidInput):
        files.size(name)


async def test_reading_leaves_no_file_open(files):
    data = b"x" * 3 * MIB
    await put(files, data)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(10):
        stream = files.read(sha(data), ByteRange(0, len(data)))
        await anext(stream)
        await stream.aclose()
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("bytes=0-0", (0, 1)),
        ("bytes=0-", (0, 10)),
        ("bytes=3-5", (3, 6)),
        ("bytes=3-500", (3, 10)),
        ("bytes=-4", (6, 10)),
        ("bytes=-400", (0, 10)),
        ("bytes=9-9", (9, 10)),
        ("bytes=5-3", None),
        ("bytes=-", None),
        ("bytes=0-1,3-4", None),
        ("items=0-1", None),
        ("bytes=x-y", None),
        ("bytes=٣-٥", None),
    ],
)
def test_which_bytes_a_range_header_means(header, expected):
    part = parse_range(header, 10)
    assert (part and (part.start, part.end)) == expected


@pytest.mark.parametrize(("header", "size"), [("bytes=10-", 10), ("bytes=-0", 10), ("bytes=0-", 0), ("bytes=-1", 0)])
def test_a_range_without_a_byte_is_refused(header, size):
    with pytest.raises(RangeNotSatisfiable) as caught:
        parse_range(header, size)
    assert caught.value.extra == {"size_bytes": size}
