"""Tasks in images: what they see, and what they may change."""

from __future__ import annotations

from pathlib import Path

import pytest

from hypernode.agent.images.unpacked import UnpackedImages
from hypernode.agent.sandboxes.base import Mount, SandboxError
from hypernode.agent.sandboxes.bubblewrap import BubblewrapSandbox
from integration.images.image_tools import shell, task
from integration.sandbox_tools import run
from registries import (
    Entry,
    Registry,
    busybox,
    folder,
    link,
)


async def test_an_image_says_how_it_wants_to_be_run(images: UnpackedImages, busybox_image: str) -> None:
    async with images.hold(busybox_image) as image:
        assert image.entrypoint == ()
        assert image.command == ("/bin/sh", "-c", "echo $GREETING")
        assert image.environment == {"PATH": "/bin", "GREETING": "hello from the image"}
        assert image.working_folder == "/work"
        assert (Path(image.root) / "work/note").read_text() == "a note\n"


async def test_a_registry_named_with_http_needs_no_other_setting(
    images: UnpackedImages, busybox_image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CONTAINERS_REGISTRIES_CONF")
    async with images.hold(busybox_image) as image:
        assert image.environment["GREETING"]


async def test_a_task_sees_its_image_and_nothing_of_the_host(
    sandbox: BubblewrapSandbox, images: UnpackedImages, busybox_image: str
) -> None:
    async with images.hold(busybox_image) as image:
        said = await shell(sandbox, image, "ls /; cat /work/note; ls /etc; id -u; cat /etc/hosts")
        assert said == [
            *("bin", "dev", "etc", "proc", "tmp", "work"),
            "a note",
            *("hostname", "hosts", "os-release", "resolv.conf"),
            "1000",
            *("127.0.0.1 localhost", "::1 localhost"),
        ]


async def test_the_image_is_read_only_and_the_usual_places_are_not(
    sandbox: BubblewrapSandbox, images: UnpackedImages, busybox_image: str, tmp_path: Path
) -> None:
    note = tmp_path / "note"
    note.write_text("an input\n")
    note.chmod(0o644)
    script = """
        for place in / /bin /etc /work /in; do touch $place/x 2>/dev/null && echo wrote to $place; done
        rm -f /bin/busybox 2>/dev/null; mkdir /x 2>/dev/null && echo made /x; chmod 777 /work 2>/dev/null && echo chmod
        touch /tmp/x /out/x /dev/shm/x && cat /in/deep/note && pwd
    """
    async with images.hold(busybox_image) as image:
        said = await shell(
            sandbox, image, script, outputs=True, mounts=(Mount(note, "/in/deep/note"),), working_folder="/out"
        )
        assert said == ["an input", "/out"]
        # The same image serves the next task unchanged.
        assert await shell(sandbox, image, "ls /work", key="second") == ["note"]


async def test_a_debian_image_with_python(
    sandbox: BubblewrapSandbox, images: UnpackedImages, python_image: str
) -> None:
    code = "import hashlib, sys; print(sys.version_info[:2], hashlib.sha256(b'x').hexdigest()[:8])"
    async with images.hold(python_image) as image:
        outcome, said, errors = await run(sandbox, task(image, *image.entrypoint, "-c", code))
        assert (outcome.exit_code, errors) == (0, "")
        assert said == "(3, 11) 2d711642\n"


async def test_a_working_folder_is_made_where_there_is_none(
    sandbox: BubblewrapSandbox, images: UnpackedImages, registry: Registry
) -> None:
    folders = {
        "/work": "/work",
        "/nowhere": "/nowhere",
        "/not/here/at/all": "/not/here/at/all",
        "/srv/data/deep": "/srv/data/deep",
        "/srv/there": "/srv/there",
        "/by/link/new": "/srv/new",
        "/by/top/new": "/top/new",
        "/temporary/new": "/tmp/new",
        "/tmp/new": "/tmp/new",
        "/": "/",
    }
    extra = [folder("work"), folder("srv"), folder("srv/there"), Entry("srv/file", b"kept\n"), link("srv/link", "file")]
    extra += [folder("by"), link("by/link", "../srv"), link("by/top", "/top"), link("temporary", "/tmp")]
    script = "pwd -P; cat /srv/file /srv/link; touch /srv/x 2>&1; true"
    async with images.hold(registry.push("tools/folders", busybox(*extra))) as image:
        for wanted, found in folders.items():
            said = await shell(sandbox, image, script, working_folder=wanted)
            assert said == [found, "kept", "kept", "touch: /srv/x: Read-only file system"]
        assert not (Path(image.root) / "srv/data").exists()


async def test_a_working_folder_that_cannot_be(
    sandbox: BubblewrapSandbox, images: UnpackedImages, registry: Registry
) -> None:
    extra = [link("round", "about"), link("about", "round"), *(Entry(f"many/{n}") for n in range(600))]
    async with images.hold(registry.push("tools/odd", busybox(*extra))) as image:
        for wanted in ("/bin/busybox/x", "/round/x", "/many/x"):
            with pytest.raises(SandboxError) as caught:
                await sandbox.prepare(task(image, "/bin/true", working_folder=wanted))
            assert caught.value.code == "sandbox.task_invalid"
