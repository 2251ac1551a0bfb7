"""Logins, and what is absent, broken or not what it says it is."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from hypernode.agent.images import processes
from hypernode.agent.images.unpacked import UnpackedImages
from hypernode.agent.sandboxes.base import Login
from hypernode.images.reach import Reach
from integration.images.image_tools import LOGIN, kept, refused, tool
from registries import (
    PASSWORD,
    USER,
    Entry,
    Registry,
    busybox,
    layer,
)


@pytest.mark.parametrize("kind", ["locked_registry", "token_registry"])
async def test_private_images(kind: str, request: pytest.FixtureRequest, images: UnpackedImages, store: Path) -> None:
    private: Registry = request.getfixturevalue(kind)
    name = private.push("private/tool", busybox(), config={"Cmd": [kind]})
    wrong = Login(USER, "a wrong one")
    for login in (None, wrong):
        error = await refused(images, name, login)
        assert (error.code, error.job_fault) == ("image.denied", True)
        assert "a wrong one" not in str(error)
    async with images.hold(name, LOGIN) as image:
        assert image.command == (kind,)
        # That it is here opens it to nobody else: neither now nor after a restart.
        for again in (images, UnpackedImages(store, 1 << 30, reach=images._reach)):
            for login in (None, wrong):
                assert (await refused(again, name, login)).code == "image.denied"
            async with again.hold(name, LOGIN) as same:
                assert same.root == image.root


async def test_the_login_is_nowhere_to_be_seen(
    locked_registry: Registry, images: UnpackedImages, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    whole = processes.run

    async def look(command: Any, **options: Any) -> Any:
        files = list(store.rglob("auth.json"))
        assert [path.stat().st_mode & 0o777 for path in files] in ([], [0o600])
        seen.extend([*command, *map(str, options.get("environment", {}).items())])
        return await whole(command, **options)

    monkeypatch.setattr(processes, "run", look)
    name = locked_registry.push("private/tool", busybox(), config={"Cmd": ["secret"]})
    async with images.hold(name, LOGIN):
        pass
    assert any("authfile" in text for text in seen)
    assert not [text for text in seen if PASSWORD in text]
    assert PASSWORD not in repr(LOGIN)
    kept(store)
    assert not [path for path in store.rglob("*") if path.is_file() and PASSWORD.encode() in path.read_bytes()]
    assert not list(store.rglob("auth.json"))


async def test_the_operators_own_login_is_not_for_jobs(
    locked_registry: Registry, images: UnpackedImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = locked_registry.push("private/tool", busybox(), config={"Cmd": ["operator"]})
    own = tmp_path / "auth.json"
    command = ["skopeo", "login", "--tls-verify=false", "--authfile", str(own), "-u", USER, "-p", PASSWORD]
    tool(*command, locked_registry.address)
    for folder_name in (".docker/config.json", ".config/containers/auth.json", "run/containers/auth.json"):
        (tmp_path / folder_name).parent.mkdir(parents=True)
        (tmp_path / folder_name).write_bytes(own.read_bytes())
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(own))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    plain = ["skopeo", "inspect", "--tls-verify=false", "--raw", f"docker://{name}"]
    assert tool(*plain), "the operator can"
    assert (await refused(images, name)).code == "image.denied"


async def test_what_is_not_there(images: UnpackedImages, registry: Registry) -> None:
    name = registry.push("tools/gone", layer(Entry("gone")))
    for wrong in (f"{registry.address}/tools/gone@sha256:{'0' * 64}", f"{registry.address}/nope@sha256:{'0' * 64}"):
        error = await refused(images, wrong)
        assert (error.code, error.job_fault) == ("image.not_found", True)
    manifest = json.loads(registry.blob(name.partition("@")[2]).read_bytes())
    registry.blob(manifest["layers"][0]["digest"]).unlink()
    assert (await refused(images, name)).code == "image.not_found"


@pytest.mark.parametrize("damage", ["flip", "cut", "append", "replace"])
@pytest.mark.parametrize("what", ["layer", "config", "manifest"])
async def test_what_was_tampered_with_is_refused(
    images: UnpackedImages, registry: Registry, store: Path, what: str, damage: str
) -> None:
    name = registry.push("tools/tampered", layer(Entry(f"{what} {damage}", os.urandom(1000))), config={"Cmd": [damage]})
    of = name.partition("@")[2]
    manifest = json.loads(registry.blob(of).read_bytes())
    of = {"manifest": of, "config": manifest["config"]["digest"], "layer": manifest["layers"][0]["digest"]}[what]
    path = registry.blob(of)
    data = path.read_bytes()
    other = {
        "layer": gzip.compress(layer(Entry("evil"))),
        "config": json.dumps({"config": {"Cmd": ["evil"]}}).encode(),
        "manifest": json.dumps({**manifest, "annotations": {"evil": "yes"}}).encode(),
    }[what]
    path.write_bytes(
        {
            "flip": data[:40] + bytes([data[40] ^ 1]) + data[41:],
            "cut": data[:-20],
            "append": data + b" ",
            "replace": other,
        }[damage]
    )
    error = await refused(images, name)
    # Where the change is such that the registry itself notices, or that no manifest is left, it may say so instead.
    assert error.code in ("image.tampered", "image.not_found", "image.registry_unreachable"), error
    if what == "layer":
        assert error.code == "image.tampered"
    assert not error.job_fault or error.code == "image.not_found"
    assert kept(store) == []


async def test_a_layer_that_is_not_what_the_configuration_says(
    images: UnpackedImages, registry: Registry, store: Path
) -> None:
    good = registry.push("tools/lie", layer(Entry("good")))
    evil = registry.push("tools/lie", layer(Entry("evil")))
    one, other = (json.loads(registry.blob(name.partition("@")[2]).read_bytes()) for name in (good, evil))
    error = await refused(images, registry.put("tools/lie", {**one, "layers": other["layers"]}))
    assert error.code == "image.tampered"
    assert kept(store) == []


async def test_no_registry_there(images: UnpackedImages, registry: Registry, busybox_image: str) -> None:
    for place in ("nowhere.invalid", "127.0.0.1:1"):
        reach = Reach([place])
        lost = UnpackedImages(images._folder, 1 << 30, reach=reach)
        error = await refused(lost, f"{place}/tools/x@sha256:{'0' * 64}")
        assert (error.code, error.job_fault) == ("image.registry_unreachable", False)


async def test_the_nodes_own_network_is_not_for_jobs(
    store: Path, registry: Registry, busybox_image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Any] = []
    monkeypatch.setattr(processes, "run", lambda *command, **options: started.append(command))
    images = UnpackedImages(store, 1 << 30)
    port = registry.address.rpartition(":")[2]
    for host in ("127.0.0.1", "localhost", "[::1]", "10.0.0.1", "169.254.169.254", "0x7f.1"):
        error = await refused(images, f"{host}:{port}/tools/busybox@{busybox_image.partition('@')[2]}")
        assert (error.code, error.job_fault) == ("image.denied", False)
    assert started == []
