"""Artifacts with a real database: who may have what, bounds, and what crashes leave behind."""

import asyncio
import hashlib
import os
import random
import time
from uuid import UUID

import pytest

from hypernode.artifacts.filestore import FileStore
from hypernode.artifacts.model import LeaseScope, UploadRequest
from hypernode.artifacts.service import ArtifactService
from hypernode.jobs.model import ArtifactRef
from hypernode.kernel import limits
from hypernode.kernel.errors import HashMismatch, InvalidInput, NotFound, OffsetMismatch, Overloaded, TooLarge
from hypernode.kernel.ids import uuid7


def sha(data):
    return hashlib.sha256(data).hexdigest()


def announce(data):
    return UploadRequest(sha(data), len(data))


async def pieces(data, size=64 * 1024):
    for start in range(0, len(data), size):
        yield data[start : start + size]


@pytest.fixture
def service(pool, tmp_path):
    return ArtifactService(pool, FileStore(tmp_path))


async def new_project(pool):
    project_id = uuid7()
    await pool.execute("INSERT INTO project (id, name) VALUES ($1, $2)", project_id, f"p{project_id.hex[:20]}-x")
    return project_id


@pytest.fixture
async def project(pool):
    return await new_project(pool)


@pytest.fixture
async def stranger(pool):
    return await new_project(pool)


async def upload(service, project_id, data, **scope):
    view = await service.start_upload(project_id, announce(data), **scope)
    if not view.complete:
        scope.pop("writable_bytes", None)
        view = await service.append(_id(view), project_id, view.offset, pieces(data[view.offset :]), **scope)
    assert view.complete
    return view


def _id(view):
    return UUID(view.id)


async def download(service, project_id, sha256):
    artifact = await service.open_artifact(project_id, sha256)
    return b"".join([chunk async for chunk in artifact.read()])


async def test_what_a_project_sent_it_can_read(service, project, pool):
    data = random.Random(0).randbytes(300_000)
    view = await upload(service, project, data)
    assert view.offset == len(data)
    assert await download(service, project, sha(data)) == data
    assert await pool.fetchval("SELECT count(*) FROM upload") == 0


async def test_nothing_is_to_be_sent_for_zero_bytes_or_for_what_the_project_has(service, project):
    assert (await service.start_upload(project, announce(b""))).complete
    assert await download(service, project, sha(b"")) == b""
    await upload(service, project, b"once")
    assert (await service.start_upload(project, announce(b"once"))).complete


async def test_zero_bytes_with_another_hash_are_refused(service, project, pool):
    with pytest.raises(HashMismatch):
        await service.start_upload(project, UploadRequest(sha(b"x"), 0))
    assert await pool.fetchval("SELECT count(*) FROM upload") == 0


async def test_knowing_a_hash_gives_nothing(service, project, stranger):
    data = b"a secret of one project"
    await upload(service, project, data)
    with pytest.raises(NotFound):
        await service.open_artifact(stranger, sha(data))
    with pytest.raises(InvalidInput):
        await service.require(stranger, [ArtifactRef(sha(data), len(data))])
    view = await service.start_upload(stranger, announce(data))
    assert not view.complete, "the bytes must be shown before they are shared"
    with pytest.raises(HashMismatch):
        await service.append(_id(view), stranger, 0, pieces(b"x" * len(data)))
    with pytest.raises(NotFound):
        await service.open_artifact(stranger, sha(data))
    await upload(service, stranger, data)
    assert await download(service, stranger, sha(data)) == data


async def test_a_bad_and_an_empty_request_at_once_give_no_access_to_others_bytes(service, project, stranger):
    data = random.Random(1).randbytes(2 * limits.MIB)
    await upload(service, project, data)
    view = await service.start_upload(stranger, announce(data))
    await service.append(_id(view), stranger, 0, pieces(b"x" * (len(data) - 1)))
    await asyncio.gather(
        service.append(_id(view), stranger, len(data) - 1, pieces(b"x")),
        *(service.append(_id(view), stranger, len(data), pieces(b"")) for _ in range(5)),
        return_exceptions=True,
    )
    with pytest.raises(NotFound):
        await service.open_artifact(stranger, sha(data))


async def test_starting_again_gives_the_open_upload(service, project):
    data = b"abcdef"
    first = await service.start_upload(project, announce(data))
    await service.append(_id(first), project, 0, pieces(b"abc"))
    again = await service.start_upload(project, announce(data))
    assert (again.id, again.offset, again.complete) == (first.id, 3, False)
    views = await asyncio.gather(*(service.start_upload(project, announce(b"together")) for _ in range(10)))
    assert len({view.id for view in views}) == 1


async def test_a_client_whose_last_answer_was_lost_learns_that_all_is_well(service, project):
    view = await upload(service, project, b"abc")
    assert (await service.upload_status(_id(view), project)).complete
    assert (await service.append(_id(view), project, 3, pieces(b""))).complete
    with pytest.raises(OffsetMismatch):
        await service.append(_id(view), project, 0, pieces(b"abc"))


async def test_uploads_are_nobody_elses_business(service, project, stranger):
    lease = LeaseScope(uuid7(), 0, 1)
    mine = await service.start_upload(project, announce(b"abc"))
    nodes = await service.start_upload(project, announce(b"abc"), lease=lease, writable_bytes=10)
    assert mine.id != nodes.id
    for view, owner, scope in [
        (mine, stranger, None),
        (mine, project, lease),
        (nodes, project, None),
        (nodes, project, LeaseScope(lease.job_id, 0, 2)),
        (nodes, project, LeaseScope(lease.job_id, 1, 1)),
        (nodes, stranger, lease),
    ]:
        with pytest.raises(NotFound):
            await service.upload_status(_id(view), owner, scope)
        with pytest.raises(NotFound):
            await service.append(_id(view), owner, 0, pieces(b"abc"), lease=scope)
        with pytest.raises(NotFound):
            await service.delete_upload(_id(view), owner, scope)


async def test_an_attempt_may_write_so_much_and_no_more_whatever_becomes_of_it(service, project):
    lease = LeaseScope(uuid7(), 0, 1)
    scope = {"lease": lease, "writable_bytes": 10}
    await upload(service, project, b"123456", **scope)
    with pytest.raises(TooLarge):
        await service.start_upload(project, announce(b"12345"), **scope)
    last = await service.start_upload(project, announce(b"1234"), **scope)
    await service.delete_upload(_id(last), project, lease)
    with pytest.raises(TooLarge):
        await service.start_upload(project, announce(b"1"), **scope)
    assert (
        await service.start_upload(project, announce(b"1"), lease=LeaseScope(lease.job_id, 0, 2), writable_bytes=1)
    ).id


async def test_what_a_node_sent_for_a_job_its_project_can_read(service, project):
    await upload(service, project, b"output", lease=LeaseScope(uuid7(), 7, 1), writable_bytes=6)
    assert await download(service, project, sha(b"output")) == b"output"


async def test_a_project_has_so_many_uploads_open(service, project, stranger, monkeypatch):
    monkeypatch.setattr(limits, "UPLOADS_PER_PROJECT", 3)
    answers = await asyncio.gather(
        *(service.start_upload(project, announce(b"%d" % n)) for n in range(10)), return_exceptions=True
    )
    assert sum(isinstance(answer, Overloaded) for answer in answers) == 7
    await service.start_upload(stranger, announce(b"1"))


async def test_requirements_are_checked_together_and_every_fault_is_named(service, project, monkeypatch):
    await upload(service, project, b"there")
    there = ArtifactRef(sha(b"there"), 5)
    await service.require(project, [])
    await service.require(project, [there, there])
    with pytest.raises(InvalidInput) as caught:
        await service.require(
            project, [there, ArtifactRef(sha(b"there"), 6), ArtifactRef(sha(b"gone"), 4)], ["$.a", "$.b", "$.c"]
        )
    assert [error.path for error in caught.value.errors] == ["$.b", "$.c"]
    with pytest.raises(InvalidInput) as caught:
        await service.require(project, [ArtifactRef(sha(b"%d" % n), 1) for n in range(5000)])
    assert len(caught.value.errors) == 100


async def test_a_size_that_cannot_be_right_is_refused(service, project):
    await upload(service, project, b"abc")
    with pytest.raises(HashMismatch):
        await service.start_upload(project, UploadRequest(sha(b"abc"), 4))
    view = await service.start_upload(project, announce(b"abcd"))
    with pytest.raises(TooLarge):
        await service.append(_id(view), project, 0, pieces(b"abcd"), body_bytes=5)


async def test_idle_uploads_are_swept_and_busy_ones_stay(service, project, pool, tmp_path):
    idle = await service.start_upload(project, announce(b"idle"))
    busy = await service.start_upload(project, announce(b"busy"))
    young = await service.start_upload(project, announce(b"young"))
    for view in (idle, busy):
        await service.append(_id(view), project, 0, pieces(b"x"))
        await pool.execute("UPDATE upload SET created_at = created_at - interval '2 days' WHERE id = $1", _id(view))
    past = time.time() - 2 * limits.UPLOAD_IDLE_S
    os.utime(tmp_path / "uploads" / idle.id, (past, past))
    assert await service.sweep() == 1
    with pytest.raises(NotFound):
        await service.upload_status(_id(idle), project)
    assert (await service.upload_status(_id(busy), project)).offset == 1
    assert (await service.upload_status(_id(young), project)).offset == 0
    assert [path.name for path in (tmp_path / "uploads").iterdir()] == [busy.id]


async def test_files_without_rows_are_deleted_at_start_and_others_kept(service, project, tmp_path):
    await upload(service, project, b"kept")
    open_ = await service.start_upload(project, announce(b"open"))
    await service.append(_id(open_), project, 0, pieces(b"op"))
    files = FileStore(tmp_path)  # as a crash between file and row leaves it
    await files.append(uuid7(), 0, pieces(b"orphan"), sha256=sha(b"orphan"), size_bytes=6)
    await files.append(uuid7(), 0, pieces(b"half"), sha256=sha(b"half done"), size_bytes=9)
    restarted = ArtifactService(service._pool, files)
    assert await restarted.recover() == 1, "a stored file may be about to get its row"
    assert await restarted.recover(orphan_s=0) == 1
    assert files.size(sha(b"orphan")) is None
    assert await download(restarted, project, sha(b"kept")) == b"kept"
    assert (await restarted.append(_id(open_), project, 2, pieces(b"en"))).complete


async def test_a_crash_after_the_last_byte_needs_one_empty_append(service, project, tmp_path):
    view = await service.start_upload(project, announce(b"abc"))
    (tmp_path / "uploads" / view.id).write_bytes(b"abc")
    again = await service.start_upload(project, announce(b"abc"))
    assert (again.offset, again.complete) == (3, False)
    assert (await service.append(_id(view), project, 3, pieces(b""))).complete
