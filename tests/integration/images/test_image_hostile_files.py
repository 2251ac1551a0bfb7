"""Images whose files reach for the host."""

from __future__ import annotations

import tarfile
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from hypernode.agent.images.unpacked import UnpackedImages
from hypernode.agent.sandboxes.base import ImageError, Mount
from hypernode.agent.sandboxes.bubblewrap import BubblewrapSandbox
from integration.images.image_tools import kept, shell
from registries import (
    Entry,
    Registry,
    busybox,
    folder,
    hard_link,
    layer,
    link,
)


async def test_nothing_unpacked_is_more_than_a_file(images: UnpackedImages, registry: Registry) -> None:
    name = registry.push(
        "hostile/kinds",
        layer(
            Entry("setuid", b"x", mode=0o6755),
            Entry("closed", b"secret of the image", mode=0o000, owner=1234),
            Entry("program", b"x", mode=0o700),
            folder("locked", mode=0o000),
            Entry("locked/inner", b"x", mode=0o600),
            Entry("writable", b"x", mode=0o777),
            Entry("pipe", kind=tarfile.FIFOTYPE),
            Entry("memory", kind=tarfile.CHRTYPE),
            Entry("disk", kind=tarfile.BLKTYPE),
            folder("sticky", mode=0o7777),
        ),
    )
    async with images.hold(name) as image:
        root = Path(image.root)
        modes = {path.name: oct(path.stat().st_mode & 0o7777) for path in root.iterdir() if path.name != "etc"}
        assert {name: modes.get(name) for name in ("setuid", "closed", "program", "locked", "writable", "sticky")} == {
            "setuid": "0o755",
            "closed": "0o444",
            "program": "0o755",
            "locked": "0o755",
            "writable": "0o755",
            "sticky": "0o755",
        }
        everything = [root, *root.rglob("*")]
        assert all(path.is_file() or path.is_dir() for path in everything)
        assert {path.stat().st_uid for path in everything} == {0}
        assert (root / "locked/inner").read_bytes() == b"x"


HOSTILE_ENTRIES = {
    "a path upwards": [Entry("../../../../../../../../tmp/hypernode-evil", b"evil")],
    "an absolute path": [Entry("/tmp/hypernode-evil", b"evil"), Entry("/etc/hypernode-evil", b"evil")],
    "through a link": [link("way", "/"), Entry("way/tmp/hypernode-evil", b"evil")],
    "through a link upwards": [link("way", "../../../../../.."), Entry("way/tmp/hypernode-evil", b"evil")],
    "over a link": [link("tmp", "/tmp"), Entry("tmp/hypernode-evil", b"evil")],
    "through two links": [link("a", "b"), link("b", "/tmp"), Entry("a/hypernode-evil", b"evil")],
    "a root that is a link": [link(".", "/tmp"), Entry("hypernode-evil", b"evil")],
    "a root that is a link to etc": [link("/", "/etc"), Entry("hypernode-evil", b"evil")],
    "a hard link outwards": [hard_link("shadow", "/etc/shadow"), hard_link("passwd", "../../../../../etc/passwd")],
    "a hard link by a link": [link("way", "/etc"), hard_link("shadow", "way/shadow")],
    "a whiteout upwards": [Entry("../../../../../../tmp/.wh.hypernode-there")],
    "a whiteout by a link": [link("way", "/tmp"), Entry("way/.wh.hypernode-there")],
    "an opaque root": [link("way", "/tmp"), Entry("way/.wh..wh..opq")],
    "etc that is a link": [link("etc", "/etc"), Entry("etc/hypernode-evil", b"evil")],
    "hosts that is a link": [folder("etc"), link("etc/hosts", "/tmp/hypernode-there"), link("etc/hostname", "/x")],
    "a whiteout of everything": [Entry(".wh.."), Entry(".wh...")],
}


@pytest.mark.parametrize("what", HOSTILE_ENTRIES)
async def test_layers_reach_nothing_but_their_own_folder(
    images: UnpackedImages, registry: Registry, store: Path, what: str
) -> None:
    there = Path("/tmp/hypernode-there")
    there.write_text("still there")
    before = {path: path.stat() for path in (there, Path("/etc/passwd"), Path("/etc/hosts"), Path("/etc/hostname"))}
    name = registry.push("hostile/entries", layer(Entry("first")), layer(*HOSTILE_ENTRIES[what], Entry("last")))
    async with AsyncExitStack() as stack:
        try:
            image = await stack.enter_async_context(images.hold(name))
        except ImageError:
            assert kept(store) == []
        else:
            files = [path for path in Path(image.root).rglob("*") if path.is_file() and not path.is_symlink()]
            assert {path.stat().st_nlink for path in files} == {1}, "a file of the host"
    assert not list(Path("/tmp").glob("hypernode-evil")) + list(Path("/etc").glob("hypernode-evil"))
    assert there.read_text() == "still there"
    after = {path: path.stat() for path in before}
    assert {p: (s.st_mode, s.st_nlink, s.st_mtime_ns) for p, s in after.items()} == {
        p: (s.st_mode, s.st_nlink, s.st_mtime_ns) for p, s in before.items()
    }
    there.unlink()


async def test_links_at_the_root_show_nothing_of_the_host(
    sandbox: BubblewrapSandbox, images: UnpackedImages, registry: Registry, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("of the host")
    secret.chmod(0o644)
    note = tmp_path / "note"
    note.write_text("an input\n")
    name = registry.push(
        "hostile/links",
        busybox(
            *(
                link("tmp", "/"),
                link("out", "/etc"),
                link("proc", "/bin"),
                link("dev", "/oldroot/dev"),
                link("in", "/bin"),
            ),
            *(
                link("old", "/oldroot"),
                link("new", "/newroot"),
                link("up", "../../../../.."),
                link("sys", "/proc/1/root"),
            ),
            *(link("mine", f"../../../../../..{tmp_path}"), link("run", "/oldroot/run"), link("root", "/oldroot/root")),
        ),
    )
    script = f"""
        cat /in/note; touch /tmp/x /out/x && ls /tmp /out; test -e /proc/self/status && echo proc; echo > /dev/null
        cat {secret} /old{secret} /new{secret} /up{secret} /sys{secret} /mine/secret /oldroot{secret} 2>/dev/null
        echo --; ls -R /oldroot; echo --; ls /newroot 2>&1; ls /
    """
    async with images.hold(name) as image:
        said = await shell(
            sandbox, image, script, outputs=True, mounts=(Mount(note, "/in/note"),), working_folder="/old/etc/made"
        )
    assert said[:6] == ["an input", "/out:", "x", "", "/tmp:", "x"]
    assert said[6] == "proc"
    assert not [line for line in said if "of the host" in line]
    # /old leads to a folder of the sandbox's own, which was made for the working folder.
    marks = [number for number, line in enumerate(said) if line == "--"]
    assert said[marks[0] + 1 : marks[1]] == ["/oldroot:", "etc", "", "/oldroot/etc:", "made", "", "/oldroot/etc/made:"]
    assert said[marks[1] + 1] == "ls: /newroot: No such file or directory"
    assert " ".join(said[marks[1] + 2 :]) == "bin dev etc in mine new old oldroot out proc root run sys tmp up"
    assert not Path("/etc/made").exists()
    assert not Path("/etc/x").exists()
