"""Images that a container engine pulls for us, and which of its images are ours."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engines import RunningEngine
from hypernode.agent.sandboxes.base import ImageError, Login
from hypernode.agent.sandboxes.engine import pulling
from hypernode.agent.sandboxes.engine.api import EngineClient, Refused
from hypernode.agent.sandboxes.engine.images import EngineImages
from hypernode.images.reach import Reach
from registries import ARCHITECTURE, PASSWORD, USER, Entry, Registry, TokenServer, busybox, layer

MIB = 1 << 20
LOGIN = Login(USER, PASSWORD)
OTHER = "arm64" if ARCHITECTURE == "amd64" else "amd64"


@pytest.fixture(scope="module", autouse=True)
def root_on_linux() -> None:
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("engines of our own need Linux and root")


@pytest.fixture(params=["docker_engine", "podman_engine"])
def engine(request: pytest.FixtureRequest) -> RunningEngine:
    running: RunningEngine = request.getfixturevalue(request.param)
    return running


@pytest.fixture(scope="module")
def reach(registry: Registry, locked_registry: Registry, token_registry: Registry, token_server: TokenServer) -> Reach:
    places = (each.address for each in (registry, locked_registry, token_registry, token_server))
    return Reach(f"http://{place}" for place in places)


@pytest.fixture
async def images(engine: RunningEngine, tmp_path: Path, reach: Reach) -> AsyncIterator[EngineImages]:
    images = EngineImages(engine.engine("runc"), tmp_path / "ours", 1 << 30, reach=reach)
    yield images
    await images.close()


@pytest.fixture
async def api(engine: RunningEngine) -> AsyncIterator[EngineClient]:
    api = EngineClient(engine.socket)
    yield api
    await api.close()


async def there(api: EngineClient, name: str) -> bool:
    try:
        await api.do("GET", f"/images/{name}/json")
    except Refused:
        return False
    return True


async def refused(images: EngineImages, name: str, login: Login | None = None) -> ImageError:
    with pytest.raises(ImageError) as caught:
        async with images.hold(name, login):
            pass
    return caught.value


async def use(images: EngineImages, name: str) -> None:
    async with images.hold(name):
        pass


async def break_off(images: EngineImages, registry: Registry, name: str) -> None:
    """Give a pull up once the engine is at it."""
    manifest = name.partition("@")[2]
    before = len([line for line in registry.requests(manifest) if "GET" in line])
    waiting = asyncio.create_task(use(images, name))
    async with asyncio.timeout(20):
        while len([line for line in registry.requests(manifest) if "GET" in line]) < before + 2:  # ours, the engine's
            await asyncio.sleep(0.005)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled()


def sized(registry: Registry, name: str, mebibytes: int = 10) -> str:
    return registry.push(f"engines/{name}", layer(Entry(name, os.urandom(mebibytes * MIB))))


async def test_an_image_is_pulled_once_and_says_how_it_wants_to_be_run(
    images: EngineImages, api: EngineClient, registry: Registry, busybox_image: str
) -> None:
    async with images.hold(busybox_image) as image:
        assert image.entrypoint == ()
        assert image.command == ("/bin/sh", "-c", "echo $GREETING")
        assert image.environment == {"PATH": "/bin", "GREETING": "hello from the image"}
        assert image.working_folder == "/work"
        assert await there(api, image.root)
    before = len(registry.requests("GET"))
    async with images.hold(busybox_image) as again:
        assert again == image
    assert len(registry.requests("GET")) == before


async def test_of_an_index_this_machine_takes_its_variant(images: EngineImages, registry: Registry) -> None:
    names = {
        architecture: registry.push("engines/both", layer(Entry(architecture)), architecture=architecture, tag="x")
        for architecture in (ARCHITECTURE, OTHER)
    }
    index = registry.push_index("engines/both", names)
    async with images.hold(index) as image, images.hold(names[ARCHITECTURE]) as same:
        assert same.root == image.root
    error = await refused(images, names[OTHER])
    assert (error.code, error.job_fault) == ("image.unsupported", False)


@pytest.mark.parametrize("kind", ["locked_registry", "token_registry"])
async def test_private_images(kind: str, request: pytest.FixtureRequest, images: EngineImages) -> None:
    private: Registry = request.getfixturevalue(kind)
    name = private.push("engines/private", busybox(), config={"Cmd": [kind]})
    wrong = Login(USER, "a wrong one")
    for login in (None, wrong):
        error = await refused(images, name, login)
        assert (error.code, error.job_fault) == ("image.denied", True)
        assert "a wrong one" not in str(error)
    async with images.hold(name, LOGIN) as image:
        assert image.command == (kind,)
        for login in (None, wrong):
            assert (await refused(images, name, login)).code == "image.denied"


async def test_what_is_wrong_has_the_code_it_has_elsewhere(
    images: EngineImages, api: EngineClient, registry: Registry
) -> None:
    nothing = f"{registry.address}/engines/gone@sha256:{'0' * 64}"
    assert (await refused(images, nothing)).code == "image.not_found"
    name = registry.push("engines/tampered", layer(Entry("x", os.urandom(5000))))
    manifest = json.loads(registry.blob(name.partition("@")[2]).read_bytes())
    blob = registry.blob(manifest["layers"][0]["digest"])
    data = blob.read_bytes()
    blob.write_bytes(data[:4000] + bytes([data[4000] ^ 1]) + data[4001:])
    error = await refused(images, name)
    assert (error.code, error.job_fault) == ("image.tampered", False)
    assert not await there(api, name)
    changed = registry.push("engines/changed", layer(Entry("y")))
    path = registry.blob(changed.partition("@")[2])
    path.write_bytes(path.read_bytes() + b" ")
    assert (await refused(images, changed)).code == "image.tampered"
    assert images.used_bytes == 0


async def test_the_nodes_own_network_is_not_for_jobs(engine: RunningEngine, tmp_path: Path, busybox_image: str) -> None:
    images = EngineImages(engine.engine("runc"), tmp_path / "others", 1 << 30)
    error = await refused(images, busybox_image)
    assert (error.code, error.job_fault) == ("image.denied", False)
    await images.close()


async def test_odd_configurations(images: EngineImages, registry: Registry) -> None:
    name = registry.push("engines/odd", layer(Entry("x")), config={"WorkingDir": "relative"})
    assert (await refused(images, name)).code == "image.unsupported"


async def test_what_is_too_large_is_not_kept(
    engine: RunningEngine, api: EngineClient, registry: Registry, tmp_path: Path, reach: Reach
) -> None:
    images = EngineImages(engine.engine("runc"), tmp_path / "small", 16 * MIB, reach=reach)
    announced = sized(registry, "announced", 20)
    assert (await refused(images, announced)).code == "image.too_large"
    bomb = registry.push("engines/bomb", layer(Entry("zeros", bytes(60 * MIB))))
    assert (await refused(images, bomb)).code == "image.too_large"
    assert not await there(api, bomb)
    assert images.used_bytes == 0
    await images.close()


async def test_a_pull_that_fills_the_disk_is_stopped(
    images: EngineImages, api: EngineClient, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it looks from where the watch stands: the disk's free space falls."""
    free = iter([10**15, *[10**9] * 100])
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: type("", (), {"free": next(free)}))
    monkeypatch.setattr(pulling, "WATCH_S", 0)
    name = sized(registry, "flood", 40)
    assert (await refused(images, name)).code == "image.too_large"
    assert images.used_bytes == 0
    monkeypatch.undo()
    await use(images, name)


async def test_a_removal_that_fails_while_a_pull_is_on_its_way_out_is_tried_again(
    engine: RunningEngine,
    api: EngineClient,
    registry: Registry,
    tmp_path: Path,
    reach: Reach,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As Podman does where a cancelled pull has stored the image already and not yet named it."""
    removed, do = [], EngineClient.do

    async def unsettled(self: EngineClient, method: str, path: str, **more: Any) -> None:
        if method == "DELETE":
            removed.append(path)
            if len(removed) <= 2:
                raise Refused(500, "tag not known")
        await do(self, method, path, **more)

    monkeypatch.setattr(EngineClient, "do", unsettled)
    images = EngineImages(engine.engine("runc"), tmp_path / "small", 16 * MIB, reach=reach)
    bomb = registry.push("engines/unsettled", layer(Entry("ones", b"1" * (60 * MIB))))
    assert (await refused(images, bomb)).code == "image.too_large"
    assert removed == [f"/images/{bomb}"] * 3
    assert not await there(api, bomb)
    assert images.used_bytes == 0
    await images.close()


async def test_what_comes_of_a_pull_that_was_broken_off_goes_before_the_next_one(
    images: EngineImages, engine: RunningEngine, api: EngineClient, registry: Registry, reach: Reach, tmp_path: Path
) -> None:
    """Podman stores an image that it has read to its end, although nobody waits for it any more."""
    late = sized(registry, "late", 60)
    await break_off(images, registry, late)
    assert images.used_bytes == 0
    # As if it had been stored a moment after that, whichever engine this is.
    await use(EngineImages(engine.engine("runc"), tmp_path / "other", 1 << 30, reach=reach), late)
    assert await there(api, late)
    await images.close()
    again = EngineImages(engine.engine("runc"), images._file.parent, 1 << 30, reach=reach)
    await use(again, sized(registry, "next", 1))
    assert not await there(api, late)
    # What is wanted after all stays.
    wanted = sized(registry, "wanted", 60)
    await break_off(again, registry, wanted)
    await use(again, wanted)
    await use(again, sized(registry, "another", 1))
    assert await there(api, wanted)
    await again.close()


async def test_the_least_recently_used_of_ours_goes_first_and_nothing_of_the_operators(
    engine: RunningEngine, api: EngineClient, registry: Registry, tmp_path: Path, reach: Reach
) -> None:
    images = EngineImages(engine.engine("runc"), tmp_path / "some", 35 * MIB, reach=reach)
    names = [sized(registry, name) for name in "abcd"]
    operators = sized(registry, "operator", 30)
    await use(EngineImages(engine.engine("runc"), tmp_path / "operator", 1 << 30, reach=reach), operators)
    await use(images, operators)  # there already, so it isn't ours and doesn't count
    for name in names[:3]:
        await use(images, name)
    await use(images, names[0])
    # The operator has a name of their own for what we pulled.
    await api.do("POST", f"/images/{names[1]}/tag", query={"repo": "operator/own", "tag": "1"})
    await use(images, names[3])
    assert [await there(api, name) for name in (names[0], names[2], names[3], operators)] == [True] * 4
    assert await there(api, "operator/own:1")
    assert images.used_bytes <= 35 * MIB
    # The order, and what is ours, outlive a restart.
    again = EngineImages(engine.engine("runc"), tmp_path / "some", 35 * MIB, reach=reach)
    await use(again, sized(registry, "e"))
    assert [await there(api, name) for name in (names[0], names[2], names[3], operators)] == [True, False, True, True]
    async with AsyncExitStack() as stack:
        for name in (names[0], names[3]):
            await stack.enter_async_context(again.hold(name))
        error = await refused(again, sized(registry, "f", 20))
        assert (error.code, error.job_fault) == ("image.failed", False)
        assert [await there(api, name) for name in (names[0], names[3])] == [True, True]
    await api.do("DELETE", "/images/operator/own:1")
    await images.close()
    await again.close()


async def test_concurrent_holds_share_a_pull_that_ends_when_nobody_waits(
    images: EngineImages, api: EngineClient, registry: Registry
) -> None:
    name = sized(registry, "shared", 40)
    async with AsyncExitStack() as stack:
        held = await asyncio.gather(*(stack.enter_async_context(images.hold(name)) for _ in range(8)))
        assert len({image.root for image in held}) == 1
    layers = json.loads(registry.blob(name.partition("@")[2]).read_bytes())["layers"]
    gets = [line for line in registry.requests('"GET ') if f"/blobs/{layers[0]['digest']}" in line]
    assert len(gets) == 1, gets
    await break_off(images, registry, sized(registry, "given-up", 60))
    assert set(json.loads(images._file.read_bytes())["ours"]) == {name}


async def test_what_a_killed_agent_was_pulling_is_ours(
    images: EngineImages, engine: RunningEngine, registry: Registry, tmp_path: Path, reach: Reach
) -> None:
    pulled, never = sized(registry, "pulled"), f"{registry.address}/engines/never@sha256:{'1' * 64}"
    await use(images, pulled)
    noted = json.loads(images._file.read_bytes())
    noted["ours"][never] = {"size_bytes": 1, "used_at_ns": 1}
    images._file.write_text(json.dumps(noted))
    again = EngineImages(engine.engine("runc"), images._file.parent, 1 << 30, reach=reach)
    await use(again, pulled)
    assert set(json.loads(again._file.read_bytes())["ours"]) == {pulled}
    await again.close()
    images._file.write_text("{")
    await use(EngineImages(engine.engine("runc"), images._file.parent, 1 << 30, reach=reach), pulled)


async def test_an_engine_that_is_away(engine: RunningEngine, tmp_path: Path, reach: Reach, busybox_image: str) -> None:
    gone = msgspec.structs.replace(engine.engine("runc"), socket=tmp_path / "nothing.sock")
    images = EngineImages(gone, tmp_path / "gone", 1 << 30, reach=reach)
    error = await refused(images, busybox_image)
    assert (error.code, error.job_fault) == ("image.failed", False)


async def test_podman_does_not_use_the_operators_own_login(
    podman_engine: RunningEngine,
    locked_registry: Registry,
    tmp_path: Path,
    reach: Reach,
) -> None:
    """Podman would: it looks for logins where its own user keeps them. But it is not asked before we were told no."""
    name = locked_registry.push("engines/operators", busybox(), config={"Cmd": ["operator"]})
    own = Path("/run/containers/0/auth.json")
    before = own.read_bytes() if own.exists() else None
    images = EngineImages(podman_engine.engine("runc"), tmp_path / "operators", 1 << 30, reach=reach)
    try:
        own.parent.mkdir(parents=True, exist_ok=True)
        subprocess_login(locked_registry.address, own)
        assert (await refused(images, name)).code == "image.denied"
    finally:
        own.unlink()
        if before is not None:
            own.write_bytes(before)
        await images.close()


def subprocess_login(address: str, file: Path) -> None:
    command: list[Any] = ["skopeo", "login", "--tls-verify=false", "--authfile", file, "-u", USER, "-p", PASSWORD]
    subprocess.run([*command, address], check=True, capture_output=True)
