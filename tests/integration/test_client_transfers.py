"""Artifacts over connections that break: whole and verified at the end, or not there at all."""

from __future__ import annotations

import hashlib
import io
import re
from pathlib import Path

import msgspec
import pytest

from hypernode.artifacts.model import UploadView
from hypernode.client import transfers
from hypernode.client.aio import AsyncClient
from hypernode.client.errors import AnswerInvalid, FileUnusable
from hypernode.client.sync import Client
from hypernode.jobs.lifecycle import TaskState
from hypernode.jobs.views import TaskPage, TaskView
from hypernode.kernel.errors import HashMismatch, NotFound, OffsetMismatch
from hypernode.ledger.receipt import Outcome, OutputFile
from integration.test_client_server import (  # noqa: F401  fixtures
    JOB_ID,
    Drop,
    Heard,
    Reply,
    Server,
    async_client,
    client,
    job_view,
    refusal,
    server,
)

DATA = bytes(range(256)) * 1000
SHA = hashlib.sha256(DATA).hexdigest()


class Store:
    """An artifact store that can fail as told: statuses to answer pieces with, lengths at which downloads break."""

    def __init__(self) -> None:
        self.bytes = b""
        self.known = False
        self.trouble: list[Reply] = []
        self.keep_before_trouble = 0
        self.breaks: list[int] = []
        self.ranges = True

    def __call__(self, heard: Heard) -> Reply:
        if "/artifacts/" in heard.path:
            return self._download(heard)
        if heard.method == "POST":
            self.size = msgspec.json.decode(heard.body)["size_bytes"]
            return Reply(201, self.view())
        if heard.method == "GET":
            return Reply(200, self.view())
        if self.trouble:
            self.bytes += heard.body[: self.keep_before_trouble]
            return self.trouble.pop(0)
        if int(heard.headers["upload-offset"]) != len(self.bytes):
            return refusal(OffsetMismatch())
        self.bytes += heard.body
        return Reply(200, self.view())

    def view(self) -> UploadView:
        done = self.known or len(self.bytes) == self.size
        return UploadView(id="u1", sha256=SHA, size_bytes=self.size, offset=len(self.bytes), complete=done)

    def _download(self, heard: Heard) -> Reply:
        found = re.fullmatch(r"bytes=(\d+)-", heard.headers.get("range", ""))
        start = int(found[1]) if found and self.ranges else 0
        if start and start >= len(DATA):
            return Reply(416)
        part = DATA[start:]
        length = {"content-length": str(len(part))}
        status = 206 if start else 200
        if self.breaks:
            return Reply(status, headers=length, pieces=[part[: self.breaks.pop(0)], Drop])
        return Reply(status, headers=length, pieces=[part])


@pytest.fixture
def store(server: Server) -> Store:  # noqa: F811
    made = Store()
    server.answer = made
    return made


def test_bytes_go_up_in_pieces(
    store: Store,
    server: Server,  # noqa: F811
    client: Client,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transfers, "PIECE_BYTES", 100_000)
    path = tmp_path / "data"
    path.write_bytes(DATA)
    seen: list[tuple[int, int]] = []
    ref = client.upload(path, progress=lambda done, total: seen.append((done, total)))
    assert (ref.sha256, ref.size_bytes, store.bytes) == (SHA, len(DATA), DATA)
    assert seen == [(0, 256_000), (100_000, 256_000), (200_000, 256_000), (256_000, 256_000)]


@pytest.mark.parametrize("trouble", [Reply(503), Reply(pieces=[Drop]), refusal(OffsetMismatch())])
def test_an_upload_asks_where_it_stands(
    store: Store,
    server: Server,  # noqa: F811
    client: Client,  # noqa: F811
    trouble: Reply,
) -> None:
    store.trouble, store.keep_before_trouble = [trouble, trouble], 1000
    client.upload(io.BytesIO(DATA))
    assert store.bytes == DATA
    assert [heard.method for heard in server.heard] == ["POST", "PATCH", "GET", "PATCH", "GET", "PATCH"]


def test_what_is_known_is_not_sent(store: Store, server: Server, client: Client) -> None:  # noqa: F811
    store.known = True
    client.upload(DATA)
    assert [heard.method for heard in server.heard] == ["POST"]


async def test_nothing_is_something(store: Store, async_client: AsyncClient) -> None:  # noqa: F811
    assert (await async_client.upload(b"")).size_bytes == 0


def test_an_upload_that_gets_nowhere_ends(store: Store, client: Client) -> None:  # noqa: F811
    store.trouble = [refusal(OffsetMismatch()) for _ in range(10)]
    with pytest.raises(OffsetMismatch):
        client.upload(DATA)


def test_files_that_cannot_be_read(client: Client, tmp_path: Path) -> None:  # noqa: F811
    for bad in (tmp_path, tmp_path / "absent"):
        with pytest.raises(FileUnusable):
            client.upload(bad)
    with pytest.raises(FileUnusable):
        client.upload(io.StringIO("text"))  # type: ignore[arg-type]


@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_goes_on_where_it_broke(
    store: Store,
    server: Server,  # noqa: F811
    client: Client,  # noqa: F811
    tmp_path: Path,
    ranges: bool,
) -> None:
    store.breaks, store.ranges = [70_000, 0, 100_000], ranges
    path = client.download(SHA, tmp_path / "new" / "file")
    assert path.read_bytes() == DATA
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]
    assert server.heard[1].headers["range"] == "bytes=70000-"


async def test_a_later_process_goes_on(
    store: Store,
    server: Server,  # noqa: F811
    async_client: AsyncClient,  # noqa: F811
    tmp_path: Path,
) -> None:
    part = tmp_path / f".file.{SHA[:16]}.part"
    for left in (DATA[:1000], DATA, DATA + b"x", b"wrong"):
        part.write_bytes(left)
        assert (await async_client.download(SHA, tmp_path / "file")).read_bytes() == DATA
        assert not part.exists()
    assert server.heard[0].headers["range"] == "bytes=1000-"


def test_wrong_bytes_are_never_shown(store: Store, client: Client, tmp_path: Path) -> None:  # noqa: F811
    with pytest.raises(HashMismatch):
        client.download("0" * 64, tmp_path / "file")
    assert not list(tmp_path.iterdir())


def test_downloads_that_cannot_be(server: Server, client: Client, tmp_path: Path) -> None:  # noqa: F811
    server.script(Reply(404))
    with pytest.raises(NotFound):
        client.download(SHA, tmp_path / "file")
    (tmp_path / "plain").write_text("")
    for bad in (tmp_path, tmp_path / "plain" / "file"):
        with pytest.raises(FileUnusable):
            client.download(SHA, bad)
    (tmp_path / f".linked.{SHA[:16]}.part").symlink_to(tmp_path / "plain")
    with pytest.raises(FileUnusable):
        client.download(SHA, tmp_path / "linked")
    assert (tmp_path / "plain").read_text() == ""


def task(index: int, *paths: str) -> TaskView:
    return TaskView(
        index=index,
        state=TaskState.SUCCEEDED,
        outcome=Outcome.EXITED,
        exit_code=0,
        signal=None,
        outputs=[OutputFile(path, SHA, len(DATA)) for path in paths],
        spent=0,
        attempts=[],
    )


def with_tasks(server: Server, store: Store, *tasks: TaskView) -> None:  # noqa: F811
    def answer(heard: Heard) -> Reply:
        if heard.path.endswith("/tasks"):
            return Reply(200, TaskPage(list(tasks), None))
        if "/jobs/" in heard.path:
            return Reply(200, job_view("succeeded", size=len(tasks)))
        return store(heard)

    server.answer = answer


def test_outputs_of_one_task_and_of_an_array(
    store: Store,
    server: Server,  # noqa: F811
    client: Client,  # noqa: F811
    tmp_path: Path,
) -> None:
    with_tasks(server, store, task(0, "a", "b/c"))
    fetched = client.fetch_outputs(JOB_ID, tmp_path / "one")
    assert [output.file.relative_to(tmp_path / "one").as_posix() for output in fetched] == ["a", "b/c"]
    before = len(server.heard)
    client.fetch_outputs(JOB_ID, tmp_path / "one")
    assert not any("/artifacts/" in heard.path for heard in server.heard[before:])
    with_tasks(server, store, task(0, "a"), task(1, "a"))
    fetched = client.fetch_outputs(JOB_ID, tmp_path / "many")
    assert [output.file.relative_to(tmp_path / "many").as_posix() for output in fetched] == ["0/a", "1/a"]
    assert all(output.file.read_bytes() == DATA for output in fetched)


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "a//b", ".", "a\\b", "a\x00b", "x" * 300])
def test_outputs_with_hostile_names_are_refused(
    store: Store,
    server: Server,  # noqa: F811
    client: Client,  # noqa: F811
    tmp_path: Path,
    name: str,
) -> None:
    with_tasks(server, store, task(0, "fine", name))
    with pytest.raises(AnswerInvalid):
        client.fetch_outputs(JOB_ID, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_links_do_not_lead_outputs_out(
    store: Store,
    server: Server,  # noqa: F811
    client: Client,  # noqa: F811
    tmp_path: Path,
) -> None:
    out, outside = tmp_path / "out", tmp_path / "outside"
    out.mkdir()
    outside.mkdir()
    (outside / "kept").write_text("mine")
    (out / "folder").symlink_to(outside)
    with_tasks(server, store, task(0, "folder/x"))
    with pytest.raises(FileUnusable, match="leads out"):
        client.fetch_outputs(JOB_ID, out)
    (out / "file").symlink_to(outside / "kept")
    with_tasks(server, store, task(0, "file"))
    client.fetch_outputs(JOB_ID, out)
    assert (outside / "kept").read_text() == "mine"
    assert (out / "file").read_bytes() == DATA
