"""Images that are kept, shared, pulled once, and left half-made by those who died."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from hypernode.agent.images.unpacked import UnpackedImages
from hypernode.images.reach import Reach
from integration.images.image_tools import children_of, kept, loop_devices, refused, sized, until, use
from integration.sandbox_tools import MIB
from registries import (
    MANIFEST,
    Entry,
    Registry,
    http,
    layer,
    request_head,
)


async def test_the_least_recently_used_goes_first(store: Path, registry: Registry, reach: Reach) -> None:
    names = [sized(registry, name) for name in "abcd"]
    images = UnpackedImages(store, 35 * MIB, reach=reach)
    for name in names[:3]:
        await use(images, name)
    await use(images, names[0])
    await use(images, names[3])
    assert set(kept(store)) == {names[n].rpartition(":")[2] for n in (0, 2, 3)}
    assert images.used_bytes <= 35 * MIB
    # The order outlives a restart.
    again = UnpackedImages(store, 35 * MIB, reach=reach)
    await use(again, names[1])
    assert set(kept(store)) == {names[n].rpartition(":")[2] for n in (0, 3, 1)}


async def test_what_is_held_stays(store: Path, registry: Registry, reach: Reach) -> None:
    names = [sized(registry, name) for name in "efg"]
    images = UnpackedImages(store, 25 * MIB, reach=reach)
    async with AsyncExitStack() as stack:
        held = [await stack.enter_async_context(images.hold(name)) for name in names[:2]]
        error = await refused(images, names[2])
        assert (error.code, error.job_fault) == ("image.failed", False)
        assert "no room" in str(error)
        assert all(Path(image.root).is_dir() for image in held)
        assert len(kept(store)) == 2
    await use(images, names[2])
    assert names[2].rpartition(":")[2] in kept(store)
    assert len(kept(store)) == 2


async def test_what_everybody_may_have_needs_no_registry(
    images: UnpackedImages, store: Path, tmp_path: Path, busybox_image: str
) -> None:
    await use(images, busybox_image)
    lonely = UnpackedImages(store, 1 << 30)
    async with lonely.hold(busybox_image) as image:
        assert image.command[0] == "/bin/sh"
        assert image.environment["GREETING"] == "hello from the image"


async def test_another_name_for_what_is_here_is_asked_for(
    images: UnpackedImages, registry: Registry, busybox_image: str
) -> None:
    await use(images, busybox_image)
    of = busybox_image.partition("@")[2]
    assert (await refused(images, f"{registry.address}/nowhere/else@{of}")).code == "image.not_found"


async def test_concurrent_holds_share_a_pull(images: UnpackedImages, registry: Registry) -> None:
    name = sized(registry, "shared")
    before = len(registry.requests("GET"))
    async with AsyncExitStack() as stack:
        held = await asyncio.gather(*(stack.enter_async_context(images.hold(name)) for _ in range(8)))
        assert len({image.root for image in held}) == 1
    gets = [line for line in registry.requests("GET")[before:] if "/v2/sized/shared/blobs/" in line]
    assert len(gets) == 2, "one layer and one configuration"


class Slow:
    """A registry in front of a real one that lets nobody have a layer until told to."""

    def __init__(self, registry: Registry, tmp_path: Path) -> None:
        self.registry = registry
        self.waiting = 0
        self.open = asyncio.Event()
        self.conf = tmp_path / "slow.conf"

    async def __aenter__(self) -> Slow:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        self.conf.write_text(f'[[registry]]\nlocation = "{self.address}"\ninsecure = true\n')
        return self

    async def __aexit__(self, *_: object) -> None:
        self.open.set()
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await request_head(reader):
                path = head.split()[1].decode()
                of = path.rpartition("/")[2]
                if not of:
                    writer.write(http(200, b"{}").replace(b"Connection: close\r\n", b""))
                    continue
                data = self.registry.blob(of).read_bytes()
                if len(data) > MIB:
                    self.waiting += 1
                    await self.open.wait()
                kind = {"Content_Type": MANIFEST} if "/manifests/" in path else {}
                writer.write(http(200, data, **kind).replace(b"Connection: close\r\n", b""))
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


async def test_a_pull_ends_when_nobody_waits_for_it_any_more(
    store: Path, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = sized(registry, "cancelled").partition("@")[2]
    async with Slow(registry, tmp_path) as slow:
        monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(slow.conf))
        images = UnpackedImages(store, 1 << 30, reach=Reach([f"http://{slow.address}"]))
        name = f"{slow.address}/sized/cancelled@{of}"
        first, second = (asyncio.create_task(use(images, name)) for _ in range(2))
        await until(lambda: slow.waiting)
        first.cancel()
        await asyncio.wait([first])
        assert children_of(name), "the other one still waits"
        second.cancel()
        await asyncio.wait([second])
        assert first.cancelled()
        assert second.cancelled()
        assert not children_of(name)
        assert kept(store) == []
        slow.open.set()
        await use(images, name)
        assert kept(store) == [of.removeprefix("sha256:")]


AGENT = """
import asyncio, sys
from pathlib import Path
from hypernode.agent.images.unpacked import UnpackedImages
from hypernode.images.reach import Reach

async def main():
    images = UnpackedImages(Path(sys.argv[1]), 1 << 30, reach=Reach([sys.argv[2]]))
    async with images.hold(sys.argv[3]):
        print("held", flush=True)

asyncio.run(main())
"""


def agent(store: Path, reach: str, name: str, conf: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "CONTAINERS_REGISTRIES_CONF": str(conf)}
    return subprocess.Popen([sys.executable, "-c", AGENT, str(store), reach, name], env=environment)


async def test_a_killed_agent_leaves_nothing_that_is_taken_for_whole(
    store: Path, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = sized(registry, "killed").partition("@")[2]
    async with Slow(registry, tmp_path) as slow:
        name = f"{slow.address}/sized/killed@{of}"
        process = agent(store, f"http://{slow.address}", name, slow.conf)
        try:
            await until(lambda: slow.waiting)
            assert children_of(name)
        finally:
            process.kill()
            process.wait()
        await until(lambda: not children_of(str(store)))
        assert [path.name[:5] for path in store.iterdir()] == ["part-"]
        images = UnpackedImages(store, 1 << 30, reach=Reach([f"http://{slow.address}"]))
        await images.reap()
        assert kept(store) == []
        assert images.used_bytes == 0


async def test_an_agent_killed_while_unpacking(
    store: Path, registry: Registry, registries_conf: Path, reach: Reach
) -> None:
    name = registry.push("sized/unpacking", layer(*(Entry(f"{n % 50}/{n}", b"x" * 100) for n in range(8_000))))
    process = agent(store, f"http://{registry.address}", name, registries_conf)
    try:
        await until(lambda: [pid for pid in children_of("umoci raw unpack") if _parents(pid, process.pid)])
    finally:
        process.kill()
        process.wait()
    await until(lambda: not children_of(str(store)))
    assert not [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(store) in line]
    await until(lambda: str(store) not in loop_devices())
    images = UnpackedImages(store, 1 << 30, reach=reach)
    await images.reap()
    assert kept(store) == []
    await use(images, name)
    assert kept(store) == [name.rpartition(":")[2]]


def _parents(pid: int, ancestor: int) -> bool:
    while pid > 1:
        if pid == ancestor:
            return True
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            return False
    return False


async def test_damaged_leftovers_are_removed(store: Path, images: UnpackedImages, busybox_image: str) -> None:
    await use(images, busybox_image)
    (whole,) = kept(store)
    (store / "part-1" / "deep" / "er").mkdir(parents=True)
    for number, text in enumerate(("", "{}", '{"process": 1}', None)):
        (store / (f"{number}" * 64) / "root").mkdir(parents=True)
        if text is not None:
            (store / (f"{number}" * 64) / "image.json").write_text(text)
    (store / "a file").touch()
    again = UnpackedImages(store, 1 << 30)
    await again.reap()
    assert kept(store) == [whole]


async def test_very_deep_folders_can_be_removed(store: Path, registry: Registry, reach: Reach) -> None:
    deep = "/".join(["d"] * 1500)
    images = UnpackedImages(store, 30 * MIB, reach=reach)
    name = registry.push("sized/deep", layer(Entry(f"{deep}/x", os.urandom(10 * MIB))))
    await use(images, name)
    await use(images, sized(registry, "next", 25))
    assert name.rpartition(":")[2] not in kept(store)
