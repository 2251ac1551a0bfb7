"""Images from real registries, unpacked, kept and run; and what hostile ones cannot do."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hypernode.agent import interpreter as interpreters
from hypernode.agent.images import processes, skopeo, unpack, unpacked
from hypernode.agent.images.unpacked import UnpackedImages
from hypernode.agent.interpreter import Interpreter
from hypernode.agent.sandboxes.base import Image, ImageError, Limits, Login, Mount, Outcome, SandboxError, Task
from hypernode.agent.sandboxes.bubblewrap import BubblewrapSandbox
from hypernode.images.reach import Reach
from hypernode.kernel import limits as bounds
from registries import (
    ARCHITECTURE,
    CONFIG,
    LAYER,
    MANIFEST,
    PASSWORD,
    USER,
    Entry,
    Registry,
    busybox,
    digest,
    folder,
    hard_link,
    http,
    layer,
    link,
    request_head,
)

MIB = 1 << 20
LIMITS = Limits(
    cpu_milli=1000,
    memory_bytes=256 * MIB,
    processes=64,
    tmp_bytes=16 * MIB,
    disk_bytes=16 * MIB,
    files=256,
    log_bytes=MIB,
    wall_ms=20_000,
)
LOGIN = Login(USER, PASSWORD)
OTHER = "arm64" if ARCHITECTURE == "amd64" else "amd64"


@pytest.fixture(scope="module", autouse=True)
def root_on_linux() -> None:
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("images run in the full sandbox, which needs Linux and root")


@pytest.fixture(autouse=True)
def insecure(registries_conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(registries_conf))


@pytest.fixture(scope="module")
def reach(registry: Registry, locked_registry: Registry, token_registry: Registry) -> Reach:
    return Reach(f"http://{each.address}" for each in (registry, locked_registry, token_registry))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "images"


@pytest.fixture
def images(store: Path, reach: Reach) -> UnpackedImages:
    return UnpackedImages(store, 1 << 30, reach=reach)


@pytest.fixture(scope="module")
def interpreter(tmp_path_factory: pytest.TempPathFactory) -> Interpreter:
    return interpreters.prepare(tmp_path_factory.mktemp("store"))


@pytest.fixture
async def sandbox(tmp_path: Path, interpreter: Interpreter, images: UnpackedImages) -> AsyncIterator[BubblewrapSandbox]:
    sandbox = BubblewrapSandbox(tmp_path / "home", interpreter, images=images)
    try:
        yield sandbox
    finally:
        await sandbox.close()


def kept(store: Path) -> list[str]:
    """The digests of the images that are here. There must be nothing else."""
    found = sorted(path.name for path in store.iterdir())
    assert not [name for name in found if len(name) != 64], "something half-made was left"
    return found


async def refused(images: UnpackedImages, name: str, login: Login | None = None) -> ImageError:
    with pytest.raises(ImageError) as caught:
        async with images.hold(name, login):
            pass
    return caught.value


def task(image: Image, *argv: str, **changes: Any) -> Task:
    limits = {name: changes.pop(name) for name in list(changes) if name in LIMITS.__struct_fields__}
    made = Task(
        key="task",
        argv=argv,
        environment={"PATH": "/usr/bin:/bin"},
        working_folder="/tmp",
        mounts=(),
        limits=msgspec.structs.replace(LIMITS, **limits),
        outputs=False,
        image=image,
    )
    return msgspec.structs.replace(made, **changes)


async def run(sandbox: BubblewrapSandbox, what: Task) -> tuple[Outcome, str, str]:
    streams: dict[int, bytes] = {1: b"", 2: b""}

    def on_output(stream: int, data: bytes) -> None:
        streams[stream] += data

    await sandbox.prepare(what)
    try:
        outcome = await sandbox.run(what, on_output)
    finally:
        await sandbox.release(what.key)
    return outcome, streams[1].decode(), streams[2].decode()


async def shell(sandbox: BubblewrapSandbox, image: Image, script: str, **changes: Any) -> list[str]:
    """The lines that a script says in an image."""
    outcome, said, errors = await run(sandbox, task(image, "/bin/sh", "-c", script, **changes))
    assert outcome.exit_code == 0, (outcome, said, errors)
    return said.splitlines()


def tool(*command: str) -> bytes:
    """What a tool of this host says."""
    return subprocess.run(command, check=True, capture_output=True).stdout


def children_of(text: str) -> list[int]:
    """Processes of this host whose command line has `text` in it."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if text in (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"):
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def loop_devices() -> str:
    """What the loop devices of this host hold."""
    found = []
    for path in Path("/sys/block").glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):  # it went in this moment
            found.append(path.read_text())
    return "".join(found)


async def until(condition: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        await asyncio.sleep(0.01)


# ------------------------------------------------------------------------------------------------ running


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


# ------------------------------------------------------------------------------------------------ layers


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


# ------------------------------------------------------------------------------------------------ logins


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


# ------------------------------------------------------------------------------------------------ what is not right


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


# ------------------------------------------------------------------------------------------------ floods


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


# ------------------------------------------------------------------------------------------------ hostile files


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


# ------------------------------------------------------------------------------------------------ the cache


def sized(registry: Registry, name: str, mebibytes: int = 10) -> str:
    return registry.push(f"sized/{name}", layer(Entry(name, os.urandom(mebibytes * MIB))))


async def use(images: UnpackedImages, name: str) -> None:
    async with images.hold(name):
        pass


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


# ------------------------------------------------------------------------------------------------ hosts


def test_a_host_without_the_tools_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert unpacked.why_not() is None
    real = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name, path: None if name in ("umoci", "skopeo") else real(name))
    assert (unpacked.why_not() or "").endswith("apt install skopeo umoci")


NOBODY = f"""
import ctypes, os
from {unpack.__name__} import main
os.setgroups([]), os.setgid(65534), os.setuid(65534)
ctypes.CDLL(None).prctl(4, 1)  # a change of user closes a process's own /proc to it, until it executes a program
main()
"""


def test_without_root_the_folder_is_watched(tmp_path: Path, registry: Registry, registries_conf: Path) -> None:
    """Unpacks as an ordinary user, in a process of its own."""
    nobody = 65534
    for parent in (tmp_path, *tmp_path.parents[:2]):
        parent.chmod(0o755)
    work = tmp_path / "work"
    work.mkdir()
    ok = registry.push("sized/plain", busybox(Entry("closed", b"x", mode=0), folder("locked", mode=0)))
    bomb = registry.push("tools/bomb", layer(Entry("zeros", bytes(150 * MIB))))
    flood = registry.push("tools/flood", layer(*(Entry(f"many/{n}") for n in range(8_000))))
    said = []
    for number, name in enumerate((ok, bomb, flood)):
        part = work / str(number)
        part.mkdir()
        command = ["skopeo", "--registries-conf", str(registries_conf), "copy", "--quiet", f"docker://{name}"]
        subprocess.run([*command, f"oci:{part}/layout:image"], check=True)
        subprocess.run(["chown", "-R", str(nobody), str(work)], check=True)
        done = subprocess.run(
            [sys.executable, "-c", NOBODY, f"{part}/layout", f"{part}/root", str(64 * MIB), "5000"],
            capture_output=True,
            text=True,
            cwd="/",
        )
        said.append(done.stdout.partition(" ")[0])
        print(done.stdout, done.stderr)
    assert said == ["ok", "image.too_large", "image.too_large"]
    assert (work / "0/root/bin/busybox").stat().st_uid == nobody
    assert (work / "0/root/closed").stat().st_mode & 0o777 == 0o444
