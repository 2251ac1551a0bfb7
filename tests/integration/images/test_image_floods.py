"""Images that would fill the disk, or never end."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from hypernode.agent.images import skopeo
from hypernode.agent.images.unpacked import UnpackedImages
from hypernode.images.reach import Reach
from hypernode.kernel import limits as bounds
from integration.images.image_tools import kept, refused, tool
from integration.sandbox_tools import MIB
from registries import (
    CONFIG,
    LAYER,
    MANIFEST,
    Entry,
    Registry,
    digest,
    http,
    layer,
    request_head,
)


async def test_a_bomb_does_not_go_off(registry: Registry, store: Path, reach: Reach) -> None:
    zeros = Entry("zeros", bytes(150 * MIB))
    name = registry.push("tools/bomb", layer(zeros))
    images = UnpackedImages(store, 64 * MIB, reach=reach)
    error = await refused(images, name)
    assert error.code == "image.too_large"
    assert kept(store) == []
    assert not [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(store) in line]


async def test_many_small_files_are_a_bomb_too(
    registry: Registry, images: UnpackedImages, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = registry.push("tools/files", layer(*(Entry(f"many/{n}") for n in range(3000))))
    monkeypatch.setattr(bounds, "IMAGE_FILES", 1000)
    assert (await refused(images, name)).code == "image.too_large"
    assert kept(store) == []


async def test_sparse_files_are_no_way_round(registry: Registry, store: Path, reach: Reach) -> None:
    script = "cd $(mktemp -d) && truncate -s 400M hole && tar --sparse --format=posix -cf - hole && rm hole"
    sparse = tool("sh", "-c", script)
    assert len(sparse) < MIB
    name = registry.push("tools/sparse", sparse)
    images = UnpackedImages(store, 64 * MIB, reach=reach)
    # As zeros they do not fit; as a hole they would take nothing.
    error = await refused(images, name)
    assert error.code == "image.too_large"
    assert kept(store) == []


async def test_announced_sizes_are_looked_at_first(registry: Registry, store: Path, reach: Reach) -> None:
    name = registry.push("tools/announced", layer(Entry("x", os.urandom(20 * MIB))))
    before = len(registry.requests("GET"))
    images = UnpackedImages(store, 16 * MIB, reach=reach)
    error = await refused(images, name)
    assert error.code == "image.too_large"
    assert not [line for line in registry.requests("GET")[before:] if "/blobs/" in line and "announced" in line]


async def test_a_registry_that_never_ends_a_blob(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = json.dumps({"rootfs": {"type": "layers", "diff_ids": [digest(b"")]}}).encode()
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, "digest": digest(config), "size": len(config)},
            "layers": [{"mediaType": LAYER, "digest": digest(b"x"), "size": 1000}],
        }
    ).encode()
    most = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal most
        try:
            path = (await request_head(reader)).split()[1].decode()
            if "/manifests/" in path:
                writer.write(http(200, manifest, Content_Type=MANIFEST))
            elif path.endswith(digest(config)):
                writer.write(http(200, config))
            elif "/blobs/" in path:
                writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
                while True:
                    writer.write(os.urandom(MIB))
                    await writer.drain()
                    most = max(most, skopeo._size(store))
            else:
                writer.write(http(200, b"{}"))
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        address = f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        conf = tmp_path / "registries.conf"
        conf.write_text(f'[[registry]]\nlocation = "{address}"\ninsecure = true\n')
        monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(conf))
        images = UnpackedImages(store, 1 << 30, reach=Reach([f"http://{address}"]))
        error = await refused(images, f"{address}/tools/endless@{digest(manifest)}")
    assert error.code == "image.tampered"
    assert 0 < most < 2 * skopeo.SLACK_BYTES
    assert kept(store) == []
