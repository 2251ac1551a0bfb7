"""The artifact cache: single flight, resuming, bounds. The network is a stub; real transfers have their own tests."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from hypernode.agent.cache import ArtifactCache
from hypernode.agent.refusal import GiveBack
from hypernode.jobs.model import ArtifactRef
from hypernode.kernel.errors import HashMismatch, NotFound, Unavailable
from hypernode.protocol.messages import LeaseRef

LEASE = LeaseRef(bytes(16), 0, 1)


class Remote:
    """Serves `content`; each entry of `breaks` ends one transfer after so many bytes."""

    def __init__(self) -> None:
        self.content: dict[str, bytes] = {}
        self.breaks: list[int] = []
        self.started: list[str] = []
        self.open = asyncio.Event()
        self.open.set()
        self.ignores_ranges = False

    def add(self, data: bytes) -> ArtifactRef:
        sha256 = hashlib.sha256(data).hexdigest()
        self.content[sha256] = data
        return ArtifactRef(sha256, len(data))

    @asynccontextmanager
    async def request(self, lease: LeaseRef, method: str, path: str, *, headers: dict[str, str]) -> AsyncIterator[Any]:
        self.started.append(headers.get("Range", ""))
        await self.open.wait()
        data = self.content.get(path.rsplit("/", 1)[1])
        if data is None:
            raise NotFound("gone")
        start = 0
        if "Range" in headers and not self.ignores_ranges:
            start = int(headers["Range"].removeprefix("bytes=").rstrip("-"))
        whole = data
        end = start + self.breaks.pop(0) if self.breaks else len(data)

        class Answer:
            status_code = 206 if start else 200

            async def aiter_raw(self, size: int) -> AsyncIterator[bytes]:
                yield whole[start:end]

        yield Answer()

    async def repeat(self, attempt: Any, *, for_s: float) -> Any:
        while True:
            try:
                return await attempt()
            except Unavailable:
                await asyncio.sleep(0)


@pytest.fixture
def remote() -> Remote:
    return Remote()


def cache_of(folder: Path, remote: Remote, bound: int = 100) -> ArtifactCache:
    return ArtifactCache(folder, bound, remote)  # type: ignore[arg-type]


async def test_many_want_it_one_fetches_it(tmp_path: Path, remote: Remote) -> None:
    cache = cache_of(tmp_path, remote)
    ref = remote.add(b"x" * 50)

    async def use() -> bytes:
        async with cache.hold([ref, ref], LEASE) as paths:
            return paths[ref.sha256].read_bytes()

    assert set(await asyncio.gather(*(use() for _ in range(20)))) == {b"x" * 50}
    assert len(remote.started) == 1
    assert (tmp_path / ref.sha256).stat().st_mode & 0o777 == 0o444


@pytest.mark.parametrize("ignores_ranges", [False, True])
async def test_it_goes_on_where_it_broke_off(tmp_path: Path, remote: Remote, ignores_ranges: bool) -> None:
    remote.ignores_ranges = ignores_ranges
    ref = remote.add(b"0123456789")
    remote.breaks = [0, 3, 4] if not ignores_ranges else [0, 3, 7]
    async with cache_of(tmp_path, remote).hold([ref], LEASE) as paths:
        assert paths[ref.sha256].read_bytes() == b"0123456789"
    assert remote.started == ["", "", "bytes=3-", "bytes=7-"]


async def test_empty_files_need_no_request(tmp_path: Path, remote: Remote) -> None:
    ref = ArtifactRef(hashlib.sha256(b"").hexdigest(), 0)
    async with cache_of(tmp_path, remote).hold([ref], LEASE) as paths:
        assert paths[ref.sha256].read_bytes() == b""
    assert remote.started == []


async def test_other_bytes_are_refused_and_not_kept(tmp_path: Path, remote: Remote) -> None:
    cache = cache_of(tmp_path, remote)
    ref = remote.add(b"real")
    for other in (b"fake", b"longer than announced"):
        remote.content[ref.sha256] = other
        with pytest.raises(HashMismatch):
            async with cache.hold([ref], LEASE):
                pass
        (tmp_path / f"{ref.sha256}.part").unlink(missing_ok=True)
    assert cache.used_bytes == 0
    assert not (tmp_path / ref.sha256).exists()


async def test_the_least_recently_used_goes_first_and_what_is_held_stays(tmp_path: Path, remote: Remote) -> None:
    cache = cache_of(tmp_path, remote)
    one, two, three, four = (remote.add(bytes([number]) * 40) for number in range(4))
    for ref in (one, two, one):
        async with cache.hold([ref], LEASE):
            pass
    async with cache.hold([three], LEASE):
        assert {path.name for path in tmp_path.iterdir()} == {one.sha256, three.sha256}
        async with cache.hold([one], LEASE):
            with pytest.raises(GiveBack, match=r"node\.disk_full"):
                async with cache.hold([four], LEASE):
                    pass
        async with cache.hold([four], LEASE):
            assert cache.used_bytes == 80
    again = cache_of(tmp_path, remote)
    assert again.used_bytes == 80
    assert not again._pins and not again._locks


async def test_whoever_waited_goes_on_when_the_fetcher_is_cancelled(tmp_path: Path, remote: Remote) -> None:
    cache = cache_of(tmp_path, remote)
    ref = remote.add(b"x" * 10)
    remote.open.clear()

    async def use() -> bytes:
        async with cache.hold([ref], LEASE) as paths:
            return paths[ref.sha256].read_bytes()

    first, second = asyncio.create_task(use()), asyncio.create_task(use())
    await asyncio.sleep(0)
    first.cancel()
    remote.open.set()
    assert await second == b"x" * 10
    assert first.cancelled()


async def test_parts_of_an_earlier_agent_are_removed(tmp_path: Path, remote: Remote) -> None:
    (tmp_path / "abc.part").write_bytes(b"x")
    cache = cache_of(tmp_path, remote)
    assert not list(tmp_path.iterdir())
    with pytest.raises(NotFound):
        async with cache.hold([ArtifactRef("0" * 64, 5)], LEASE):
            pass
