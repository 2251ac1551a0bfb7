"""The collector against folders that a hostile program could have made."""

from __future__ import annotations

import hashlib
import os
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hypernode.agent.collect import (
    NAME_SHOWN,
    REJECTED_SHOWN,
    Collected,
    CollectLimits,
    Refusal,
    collect,
    printable,
)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool"


def _collect(out: Path, spool: Path, *patterns: str, **limits: int) -> Collected:
    root = os.open(out, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return collect(root, patterns or ("**",), spool, CollectLimits(**limits))
    finally:
        os.close(root)


def _refused(collected: Collected) -> dict[str, Refusal]:
    return {rejected.path: rejected.why for rejected in collected.rejected}


def test_files_are_spooled_under_their_hash_in_order(out: Path, spool: Path) -> None:
    (out / "b").mkdir()
    (out / "b" / "two.bin").write_bytes(b"\0" * 3_000_000)
    (out / "a.txt").write_bytes(b"one")
    (out / "same.txt").write_bytes(b"one")
    collected = _collect(out, spool)
    assert [a.path for a in collected.accepted] == ["a.txt", "b/two.bin", "same.txt"]
    for accepted in collected.accepted:
        data = (spool / accepted.sha256).read_bytes()
        assert hashlib.sha256(data).hexdigest() == accepted.sha256
        assert len(data) == accepted.size_bytes
    assert len(list(spool.iterdir())) == 2
    assert collected.rejected == ()


def test_what_is_not_a_plain_file_is_refused_without_touching_it(out: Path, spool: Path) -> None:
    secret = out.parent / "secret"
    secret.write_text("secret")
    (out / "link").symlink_to(secret)
    (out / "folder-link").symlink_to("/")
    (out / "loop").symlink_to("loop")
    os.mkfifo(out / "pipe")
    (out / "one").write_text("x")
    os.link(out / "one", out / "other")
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.getcwd()
        os.chdir(out)  # the path of a socket must be short
        try:
            listener.bind("socket")
        finally:
            os.chdir(here)
        collected = _collect(out, spool)
    assert collected.accepted == ()
    assert _refused(collected) == {
        "link": Refusal.NOT_REGULAR,
        "folder-link": Refusal.NOT_REGULAR,
        "loop": Refusal.NOT_REGULAR,
        "pipe": Refusal.NOT_REGULAR,
        "socket": Refusal.NOT_REGULAR,
        "one": Refusal.LINKED,
        "other": Refusal.LINKED,
    }


@pytest.mark.parametrize(
    "name", [b"\xff\xfe", b"a\nb", b"\x1b[2J", b"back\\slash", "right\u202eleft".encode(), b"\x7f"]
)
def test_names_that_could_confuse_are_refused(out: Path, spool: Path, name: bytes) -> None:
    Path(os.fsdecode(os.fsencode(out) + b"/" + name)).write_text("x")
    (out / "ünïcode name.txt").write_text("x")
    collected = _collect(out, spool)
    assert [a.path for a in collected.accepted] == ["ünïcode name.txt"]
    assert [r.why for r in collected.rejected] == [Refusal.NAME]
    assert collected.rejected[0].path.isprintable()


def test_a_sparse_terabyte_costs_nothing(out: Path, spool: Path) -> None:
    with open(out / "sparse", "wb") as file:
        file.truncate(1 << 40)
    started = time.monotonic()
    collected = _collect(out, spool)
    assert time.monotonic() - started < 1
    assert _refused(collected) == {"sparse": Refusal.TOO_LARGE}


def test_bytes_files_entries_depth_and_length_are_bounded(out: Path, spool: Path) -> None:
    for number in range(20):
        (out / f"{number:02}").write_bytes(b"x" * 10)
    assert len(_collect(out, spool, total_bytes=55).accepted) == 5
    by_files = _collect(out, spool, files=3)
    assert [a.path for a in by_files.accepted] == ["00", "01", "02"]
    assert Refusal.TOO_MANY in _refused(by_files).values()
    by_entries = _collect(out, spool, entries=7)
    assert len(by_entries.accepted) == 7
    assert _refused(by_entries) == {".": Refusal.TOO_MANY}
    (out / "deep" / "er").mkdir(parents=True)
    (out / "deep" / "er" / "file").write_text("x")
    assert _refused(_collect(out, spool, "deep", depth=1)) == {"deep/er": Refusal.TOO_DEEP}
    assert _refused(_collect(out, spool, "deep", path_bytes=9)) == {"deep/er/file": Refusal.PATH_TOO_LONG}


def test_many_rejections_are_counted_but_not_all_listed(out: Path, spool: Path) -> None:
    for number in range(REJECTED_SHOWN + 5):
        (out / str(number)).symlink_to("x")
    collected = _collect(out, spool)
    assert collected.rejected_count == REJECTED_SHOWN + 5
    assert len(collected.rejected) == REJECTED_SHOWN


def test_a_folder_that_changes_while_it_is_read_yields_only_what_was_in_it(out: Path, spool: Path) -> None:
    """Files swapped for links to a secret, all the time: it must never be collected."""
    secret = out.parent / "secret"
    secret.write_text("secret")
    digest = hashlib.sha256(b"secret").hexdigest()
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            (out / "new").write_text("plain")
            os.replace(out / "new", out / "file")
            (out / "new").symlink_to(secret)
            os.replace(out / "new", out / "file")

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            assert digest not in {a.sha256 for a in _collect(out, spool).accepted}
    finally:
        stop.set()
        thread.join()


def test_trouble_with_our_own_disk_is_not_blamed_on_the_job(out: Path, tmp_path: Path) -> None:
    (out / "file").write_text("x")
    (tmp_path / "spool").write_text("not a folder")
    with pytest.raises(OSError, match="spool"):
        _collect(out, tmp_path / "spool")


@given(st.binary(max_size=200))
def test_printable_is_printable_and_short(path: bytes) -> None:
    shown = printable(path)
    assert shown.isprintable()
    assert len(shown) <= NAME_SHOWN


names = st.binary(min_size=1, max_size=8).filter(lambda n: b"/" not in n and b"\0" not in n and n not in (b".", b".."))


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.lists(names, min_size=1, max_size=3).map(tuple), st.binary(max_size=50), max_size=8))
def test_everything_is_accepted_or_rejected_and_never_altered(files: dict[tuple[bytes, ...], bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        out, spool = Path(folder) / "out", Path(folder) / "spool"
        out.mkdir()
        written = {}
        for parts, data in files.items():
            path = os.path.join(os.fsencode(out), *parts)
            try:
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "wb") as file:
                    file.write(data)
            except OSError:  # a file where another path has a folder
                continue
            written[b"/".join(parts)] = data
        collected = _collect(out, spool)
        accepted = {a.path.encode(): (spool / a.sha256).read_bytes() for a in collected.accepted}
        assert accepted.items() <= written.items()
        assert len(accepted) + collected.rejected_count == len(written)
        assert list(accepted) == sorted(accepted, key=lambda path: path.decode())


@pytest.fixture(autouse=True)
def same_folder() -> Iterator[None]:
    before = os.getcwd()
    yield
    assert os.getcwd() == before
