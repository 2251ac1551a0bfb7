"""Images in all the forms that registries have them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hypernode.agent.images.unpacked import UnpackedImages
from integration.images.image_tools import OTHER, kept, refused
from registries import (
    ARCHITECTURE,
    CONFIG,
    Entry,
    Registry,
    busybox,
    folder,
    hard_link,
    layer,
)


async def test_upper_layers_replace_and_remove_what_is_below(images: UnpackedImages, registry: Registry) -> None:
    lower = layer(
        *(folder("opaque"), Entry("opaque/below"), folder("dir"), Entry("dir/stays"), Entry("dir/goes")),
        *(Entry("changes", b"old"), Entry("becomes-folder"), folder("becomes-file"), Entry("becomes-file/x")),
        *(Entry("goes"), Entry("linked", b"one"), hard_link("also-linked", "linked")),
    )
    middle = layer(
        *(folder("opaque"), Entry("opaque/.wh..wh..opq"), Entry("opaque/above"), Entry("dir/.wh.goes")),
        *(Entry("changes", b"new"), folder("becomes-folder"), Entry("becomes-folder/y"), Entry("becomes-file", b"f")),
        Entry(".wh.goes"),
    )
    upper = layer(Entry("goes", b"again"))
    name = registry.push("tools/layers", lower, middle, upper)
    async with images.hold(name) as image:
        root = Path(image.root)
        found = {str(path.relative_to(root)) for path in root.rglob("*")} - {"etc/hosts", "etc/hostname"}
        assert found == {
            *("opaque", "opaque/above", "dir", "dir/stays", "changes", "becomes-folder", "becomes-folder/y"),
            *("becomes-file", "goes", "linked", "also-linked", "etc", "etc/resolv.conf"),
        }
        assert (root / "changes").read_text() == "new"
        assert (root / "goes").read_text() == "again"
        assert (root / "linked").samefile(root / "also-linked")


@pytest.mark.parametrize(("docker", "compress"), [(True, True), (False, False)])
async def test_forms_of_images(images: UnpackedImages, registry: Registry, docker: bool, compress: bool) -> None:
    name = registry.push("tools/forms", busybox(), config={"Cmd": ["x"]}, docker=docker, compress=compress)
    async with images.hold(name) as image:
        assert image.command == ("x",)
        assert (Path(image.root) / "bin/busybox").stat().st_mode & 0o777 == 0o755


async def test_of_an_index_this_machine_takes_its_variant(
    images: UnpackedImages, registry: Registry, store: Path
) -> None:
    names = {
        architecture: registry.push("tools/both", layer(Entry(architecture)), architecture=architecture, tag="x")
        for architecture in (ARCHITECTURE, OTHER)
    }
    index = registry.push_index("tools/both", names)
    async with images.hold(index) as image:
        assert (Path(image.root) / ARCHITECTURE).exists()
        assert not (Path(image.root) / OTHER).exists()
        async with images.hold(names[ARCHITECTURE]) as same:
            assert same.root == image.root
    assert kept(store) == [names[ARCHITECTURE].rpartition(":")[2]]


async def test_no_variant_for_this_machine_is_not_the_jobs_fault(images: UnpackedImages, registry: Registry) -> None:
    other = registry.push("tools/other", layer(Entry("x")), architecture=OTHER)
    index = registry.push_index("tools/other", {OTHER: other})
    for name in (other, index):
        error = await refused(images, name)
        assert (error.code, error.job_fault) == ("image.unsupported", False)
        assert OTHER in str(error)


async def test_other_things_in_registries_are_no_images(images: UnpackedImages, registry: Registry) -> None:
    good = registry.push("tools/helm", layer(Entry("x")), config={"Cmd": ["helm"]})
    manifest = json.loads(registry.blob(good.partition("@")[2]).read_bytes())
    manifest["config"]["mediaType"] = "application/vnd.cncf.helm.config.v1+json"
    chart = registry.put("tools/helm", manifest)
    manifest["config"]["mediaType"] = CONFIG
    manifest["layers"][0]["mediaType"] = "application/vnd.oci.image.layer.v1.tar+zstd"
    packed = registry.put("tools/helm", manifest)
    for name, word in ((chart, "no container image"), (packed, "zstd")):
        error = await refused(images, name)
        assert (error.code, error.job_fault) == ("image.unsupported", True)
        assert word in str(error)


@pytest.mark.parametrize(
    "config",
    [
        {"Env": ["A=\0"]},
        {"WorkingDir": "relative"},
        {"WorkingDir": "/a/../../b"},
        {"Cmd": ["x"] * 5000},
        {"Cmd": "not a list"},
        {"Entrypoint": ["\0"]},
    ],
)
async def test_odd_configurations(
    images: UnpackedImages, registry: Registry, config: dict[str, Any], store: Path
) -> None:
    error = await refused(images, registry.push("tools/config", layer(Entry("x")), config=config))
    assert error.code == "image.unsupported"
    assert kept(store) == []
