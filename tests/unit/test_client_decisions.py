"""The client's pure parts: retries, event streams, configuration, certificates' names, public names."""

from __future__ import annotations

import inspect
import itertools
import os
import stat
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hypernode
from hypernode.client import aio, config, retry, sync, tls
from hypernode.client.aio_governance import AsyncGovernance
from hypernode.client.config import Context
from hypernode.client.errors import AnswerInvalid, ConfigInvalid
from hypernode.client.governance import Governance
from hypernode.client.retry import NEVER, Retry
from hypernode.client.sse import EventReader
from hypernode.kernel import limits

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@given(st.integers(1, 60), st.floats(0, 1, exclude_max=True))
def test_waits_are_bounded_and_attempts_end(failures: int, chance: float) -> None:
    policy = Retry()
    wait = retry.after_interruption(policy, failures, repeatable=True, sent=True, chance=chance)
    if failures >= policy.attempts:
        assert wait is None
    else:
        assert wait is not None and 0 <= wait <= policy.max_s


@pytest.mark.parametrize("status", [200, 400, 401, 404, 409, 422, 500, 501])
def test_only_transient_statuses_are_repeated(status: int) -> None:
    found = retry.after_answer(Retry(), 1, repeatable=True, status=status, retry_after_s=None, chance=0.5)
    assert found is None


def test_what_may_be_repeated() -> None:
    policy = Retry()
    assert retry.after_answer(policy, 1, repeatable=False, status=503, retry_after_s=None, chance=0.5) is None
    assert retry.after_interruption(policy, 1, repeatable=False, sent=True, chance=0.5) is None
    assert retry.after_interruption(policy, 1, repeatable=False, sent=False, chance=0.5) is not None
    assert retry.after_interruption(NEVER, 1, repeatable=True, sent=False, chance=0.5) is None


def test_retry_after_is_obeyed_up_to_patience() -> None:
    policy = Retry(patience_s=10)
    wait = retry.after_answer(policy, 1, repeatable=True, status=429, retry_after_s=10, chance=0.99)
    assert wait is not None and 10 <= wait < 11
    assert retry.after_answer(policy, 1, repeatable=True, status=429, retry_after_s=11, chance=0) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("3", 3.0),
        ("Thu, 01 Jan 2026 00:00:05 GMT", 5.0),
        ("Thu, 01 Jan 2020 00:00:00 GMT", 0.0),
        ("soon", None),
        ("-1", None),
        ("", None),
        ("²", None),
    ],
)
def test_retry_after_may_be_a_number_or_a_date(text: str, seconds: float | None) -> None:
    assert retry.retry_after_s({"retry-after": text}, NOW) == seconds


STREAM = (
    b": hello\r\n\r\nid: 1\nevent: log\ndata: a\ndata: b\n\n"
    b"data\n\nid: 2\rdata:c\r\rretry: 5\nunknown: x\nid: 3\n\ndata: d\n\n"
)


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_events_are_the_same_however_they_are_cut(cuts: list[int]) -> None:
    reader = EventReader()
    edges = [0, *sorted(cuts), len(STREAM)]
    pieces = [STREAM[a:b] for a, b in itertools.pairwise(edges)]
    found = [event for piece in pieces for event in reader.feed(piece)]
    assert [(event.kind, event.data, event.id) for event in found] == [
        ("log", "a\nb", "1"),
        ("message", "", "1"),
        ("message", "c", "2"),
        ("message", "d", "3"),
    ]
    assert reader.last_id == "3"


def test_half_an_event_is_forgotten_when_reconnecting() -> None:
    reader = EventReader("7")
    assert not list(reader.feed(b"id: 8\ndata: half"))
    reader.reconnected()
    assert reader.last_id == "7"
    assert [event.data for event in reader.feed(b"data: whole\n\n")] == ["whole"]


def test_an_endless_event_is_refused() -> None:
    reader = EventReader()
    lines = (b"data: " + b"x" * limits.MIB + b"\n") * 20
    with pytest.raises(AnswerInvalid):
        list(reader.feed(lines[:-1]))


def test_contexts_are_saved_for_their_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "config.json"
    config.save_context("local", Context("http://127.0.0.1:1", "hnkey_secret"), path=path)
    config.save_context("far", Context("https://far.example", "k", "sha256:" + "0" * 64), current=False, path=path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert config.load_context(environment={}, path=path).url == "http://127.0.0.1:1"
    assert config.use_context("far", path).key == "k"
    assert config.load_context(environment={}, path=path).url == "https://far.example"
    assert config.load_context("local", environment={}, path=path).key == "hnkey_secret"
    assert "hnkey_secret" not in repr(config.load_config(path))
    config.remove_context("far", path)
    with pytest.raises(ConfigInvalid, match="no coordinator is configured"):
        config.load_context(environment={}, path=path)
    assert [entry.name for entry in path.parent.iterdir()] == ["config.json"]


def test_the_environment_comes_first_and_mixes_with_nothing(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    config.save_context("local", Context("http://a", "file-key"), path=path)
    found = config.load_context(environment={"HYPERNODE_URL": "http://b"}, path=path)
    assert (found.url, found.key) == ("http://b", None)
    found = config.load_context(environment={"HYPERNODE_API_KEY": "other"}, path=path)
    assert (found.url, found.key) == ("http://a", "other")
    chosen = config.choose("http://c", None, None, None, {"HYPERNODE_URL": "http://b", "HYPERNODE_API_KEY": "b-key"})
    assert chosen.key is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"contexts": {"a": {}}}', "\xff"])
def test_a_damaged_configuration_says_so(tmp_path: Path, content: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(ConfigInvalid, match=r"config\.json"):
        config.load_context(environment={}, path=path)


@pytest.mark.parametrize("url", ["", "host", "ftp://x", "http://", "http://x:99999", "http://u:p@x", "http://x?q"])
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(ConfigInvalid):
        tls.check_url(url)


def test_keys_that_are_none() -> None:
    for key in ("a b", "ключ", "a\nb"):
        with pytest.raises(ConfigInvalid):
            sync.Client("http://x", key)


def test_fingerprints() -> None:
    plain = "ab" * 32
    assert tls.fingerprint(f"sha256:{plain.upper()}") == plain
    assert tls.fingerprint("sha256:" + ":".join(["ab"] * 32)) == plain
    assert tls.fingerprint("sha256:ab") is None
    assert tls.fingerprint("certificate.pem") is None


def test_both_clients_offer_the_same() -> None:
    def offered(kind: type) -> dict[str, list[str]]:
        methods = inspect.getmembers(kind, inspect.isfunction)
        return {name: list(inspect.signature(m).parameters) for name, m in methods if not name.startswith("_")}

    assert offered(sync.Client) == offered(aio.AsyncClient)
    assert offered(Governance) == offered(AsyncGovernance)


def test_public_names() -> None:
    names = ["AsyncClient", "Client", "HypernodeError", "JobDocument", "LocalJob"]
    assert hypernode.__all__ == [*names, "container_job", "python_job", "resolve_requirements", "wasm_job"]
    assert all(getattr(hypernode, name) is not None for name in hypernode.__all__)
    with pytest.raises(AttributeError):
        _ = hypernode.nothing


def test_importing_the_package_loads_nothing() -> None:
    code = "import sys, hypernode; print([m for m in ('httpx', 'msgspec', 'rich') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout.strip() == "[]"
