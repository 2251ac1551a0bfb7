"""The command line in whole: arguments in; stdout, stderr and exit code out; a real server in between."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from hypernode.artifacts.model import UploadView
from hypernode.cli import main
from hypernode.client.calls import Network, Whoami
from hypernode.events.model import EventView
from hypernode.jobs.lifecycle import TaskState
from hypernode.jobs.model import ContainerRuntime, JobDocument, parse
from hypernode.jobs.views import (
    Exclusion,
    JobPage,
    LogEnd,
    LogEvent,
    NodeQuote,
    QuoteView,
    TaskCounts,
    TaskPage,
    TaskView,
)
from hypernode.kernel.errors import InsufficientFunds, NotFound
from hypernode.ledger.model import AccountView
from hypernode.ledger.receipt import Outcome, OutputFile, Traffic
from hypernode.nodes.model import Ask, Capabilities, JoinTokenView, NodePage, NodeState, NodeView, SandboxOffer
from hypernode.secrets.model import SecretList, SecretView
from integration.test_client_server import JOB_ID, Drop, Heard, Reply, Server, job_view, refusal, server  # noqa: F401
from integration.test_client_streams import STREAM, sse

Run = Callable[..., tuple[int, str, str]]
RESULT = b"a,b\n"
DIGEST = f"sha256:{'0' * 64}"
PASSWORD = "correct-horse"
SECRET = SecretView(
    name="pull", kind="registry", registry="ghcr.io", created_at="2026-01-01T", updated_at="2026-01-01T"
)
NODE = NodeView(
    node="K" * 44,
    name="n",
    state=NodeState.ONLINE,
    own=False,
    capabilities=Capabilities(
        cpu_milli=1000,
        memory_bytes=2**30,
        disk_bytes=0,
        sandboxes=(
            SandboxOffer(name="bubblewrap", isolation=2, runtimes=("python", "wasm"), egress=True),
            SandboxOffer(name="docker/runsc", isolation=3, runtimes=("container",)),
        ),
    ),
    ask=Ask(100),
    enrolled_at="",
    last_seen_at=None,
    running=0,
    earned=None,
)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYPERNODE_CONFIG", str(tmp_path / "config.json"))
    for name in ("HYPERNODE_URL", "HYPERNODE_API_KEY", "HYPERNODE_CERTIFICATE", "HYPERNODE_CONTEXT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def hypernode(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["hypernode", *arguments])
        with pytest.raises(SystemExit) as left:
            main()
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        assert "\x1b" not in out + err
        code = left.value.code
        return (code if isinstance(code, int) else 0), out, err

    return run


@pytest.fixture
def reached(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:  # noqa: F811
    monkeypatch.setenv("HYPERNODE_URL", server.url)
    monkeypatch.setenv("HYPERNODE_API_KEY", "hnkey_a_b")
    return server


class Coordinator:
    """Runs one job as told."""

    def __init__(self, **end: Any) -> None:
        self.end: dict[str, Any] = {"outcome": Outcome.EXITED, "exit_code": 0, "signal": None} | end
        self.eligible = True
        self.submitted: Any = None
        self.size = 1
        self.hang = False
        self.cancelled = False

    def __call__(self, heard: Heard) -> Reply:
        path = heard.path.removeprefix("/api/v1")
        answers: dict[str, Callable[[], Reply]] = {
            "/quotes": lambda: Reply(200, self.quote(json.loads(heard.body))),
            "/uploads": lambda: Reply(201, UploadView(id="u", sha256="", size_bytes=1, offset=1, complete=True)),
            "/jobs": lambda: self.submit(heard),
            "/events": self.events,
            f"/jobs/{JOB_ID}": lambda: Reply(200, self.view()),
            f"/jobs/{JOB_ID}/tasks": lambda: Reply(200, TaskPage(self.tasks(), None)),
            f"/jobs/{JOB_ID}/logs/stream": self.log,
            f"/jobs/{JOB_ID}/logs": lambda: Reply(200, b""),
            f"/jobs/{JOB_ID}/cancel": self.cancel,
            f"/artifacts/{hashlib.sha256(RESULT).hexdigest()}": lambda: Reply(200, RESULT),
        }
        return answers[path]() if path in answers else refusal(NotFound(path))

    def quote(self, document: Any) -> QuoteView:
        node = NodeQuote(node="K", name="n", rate_per_second=100, fixed=0, worst_price=6000, available_now=True)
        why = Exclusion("isolation.too_low", 2, "isolation 3 is asked, they proved 2", "lower isolation")
        return QuoteView(
            content_id="0" * 64,
            tasks=1,
            eligible=[node] if self.eligible else [],
            excluded=[] if self.eligible else [why],
            cheapest_worst_price=6000 if self.eligible else None,
            hold=document["cap"],
            cap_short_by=0,
            available=10_000_000,
            can_submit=True,
        )

    def submit(self, heard: Heard) -> Reply:
        self.submitted = json.loads(heard.body)
        self.size = (self.submitted.get("array") or {}).get("size", 1)
        return Reply(201, job_view(held=6000, size=self.size, document=self.document()))

    def document(self) -> JobDocument | None:
        """The document as it was taken: a tag has become a digest."""
        if self.submitted is None:
            return None
        document = parse(self.submitted)
        if not isinstance(document.runtime, ContainerRuntime) or document.runtime.reference.digest:
            return document
        pinned = document.runtime.reference._replace(digest=DIGEST)
        return replace(document, runtime=replace(document.runtime, image=str(pinned)))

    def view(self) -> Any:
        good = self.end["outcome"] is Outcome.EXITED and self.end["exit_code"] == 0
        state = "running" if self.hang and not self.cancelled else "succeeded" if good else "failed"
        counts = TaskCounts(queued=0, live=0, succeeded=self.size if good else 0, failed=0, cancelled=0, expired=0)
        return job_view(state, size=self.size, spent=1234, tasks=counts, document=self.document())

    def tasks(self) -> list[TaskView]:
        found = [OutputFile("deep/r.csv", hashlib.sha256(RESULT).hexdigest(), len(RESULT))]
        state = TaskState.SUCCEEDED if self.end["exit_code"] == 0 else TaskState.FAILED
        return [
            TaskView(index=index, state=state, outputs=found, spent=1, attempts=[], **self.end)
            for index in range(self.size)
        ]

    def events(self) -> Reply:
        def event(kind: str, number: int, **data: str) -> bytes:
            view = EventView(id=str(number), at="", kind=kind, job_id=JOB_ID, task=0, epoch=1, node="K" * 44, data=data)
            return sse(kind, view, str(number))

        lost = event("task.lost", 1, cause="image.failed", detail="the disk\x1b is full", state="queued")
        first = [lost, event("task.leased", 2), event("task.running", 3)]
        rest: list[Any] = [30.0] if self.hang and not self.cancelled else [0.3, event("job.ended", 9)]
        return Reply(headers=STREAM, pieces=[*first, *rest])

    def log(self) -> Reply:
        lines = [(1, b"hello\n"), (2, b"warning\n")]
        pieces: list[Any] = [
            sse("log", LogEvent(task=0, epoch=1, offset=n, stream=stream, at_ms=0, data=data), f"1.{n}")
            for n, (stream, data) in enumerate(lines)
        ]
        end = sse("end", LogEnd(task=0, state=TaskState.SUCCEEDED))
        return Reply(headers=STREAM, pieces=[*pieces, 30.0 if self.hang and not self.cancelled else end])

    def cancel(self) -> Reply:
        self.cancelled = True
        return Reply(200, job_view("cancelled"))


def test_run_is_like_running_here(reached: Server, hypernode: Run, tmp_path: Path) -> None:
    reached.answer = coordinator = Coordinator()
    (tmp_path / "fit.py").write_text("pass")
    (tmp_path / "data.csv").write_text("x")
    options = ["--input", "data.csv", "--output", "deep/*.csv", "--timeout", "1m", "--memory", "1GiB", "--cpu", "500m"]
    more = ["--env", "A=b=c", "--label", "team=x", "--retries", "2", "--isolation", "1", "--out", "results"]
    code, out, err = hypernode("run", *options, *more, "--", "python", "fit.py", "--with", "own")
    assert (code, out) == (0, "hello\n")
    assert "warning\n" in err
    # Two retries were asked for, and each failing attempt is paid: three times the cheapest node's worst price.
    assert "costs at most 0.018 HYPER" in err and "the cheapest node's price for the whole timeout, 3 times" in err
    assert "lost by its node (node KKKKKKKK…): the disk\ufffd is full [image.failed]" in err
    assert "running" in err and "price paid: 0.001234 HYPER" in err
    assert (tmp_path / "results" / "deep" / "r.csv").read_bytes() == RESULT
    document = coordinator.submitted
    assert document["cap"] == 18_000 and document["timeout_s"] == 60 and document["name"] == "fit"
    assert document["resources"]["memory_bytes"] == 2**30 and document["resources"]["cpu_milli"] == 500
    assert document["environment"] == {"A": "b=c"} and document["labels"] == {"team": "x"}
    assert document["runtime"]["arguments"] == ["--with", "own"]
    assert set(document["inputs"]) == {"fit.py", "data.csv"}


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ({"exit_code": 3}, 3),
        ({"outcome": Outcome.SIGNALLED, "exit_code": None, "signal": 9}, 137),
        ({"outcome": Outcome.TIMEOUT, "exit_code": None}, 124),
        ({"outcome": Outcome.OUT_OF_FUEL, "exit_code": None}, 124),
        ({"outcome": Outcome.OUT_OF_MEMORY, "exit_code": None}, 137),
        ({"outcome": Outcome.OUTPUT_MISSING}, 1),
        ({"outcome": Outcome.CANCELLED, "exit_code": None}, 130),
    ],
)
def test_run_exits_as_the_job_did(reached: Server, hypernode: Run, end: Any, code: int) -> None:
    reached.answer = Coordinator(**end)
    found, out, err = hypernode("run", "-q", "--", "python", "-c", "pass")
    assert (found, out, err) == (code, "hello\n", "warning\n")


def test_run_of_an_image(reached: Server, hypernode: Run) -> None:
    reached.answer = coordinator = Coordinator(egress=Traffic(sent_bytes=1500, received_bytes=3 * 2**20))
    of_image = ["--image", "ghcr.io/team/tool:1", "--entrypoint", "/bin/sh -e", "--workdir", "/app"]
    network = ["--allow-host", "example.org", "--allow-host", "*.pypi.org:8443", "--egress-limit", "5MiB"]
    code, _, err = hypernode("run", *of_image, "--registry-secret", "pull", *network, "--", "-c", "echo hi")
    assert code == 0
    document = parse(coordinator.submitted)
    assert document.runtime == ContainerRuntime(
        "ghcr.io/team/tool:1", ("/bin/sh", "-e"), ("-c", "echo hi"), working_folder="/app", registry_secret="pull"
    )
    assert document.name == "tool"
    assert coordinator.submitted["network"] == {
        "egress": [{"host": "example.org", "port": 443}, {"host": "*.pypi.org", "port": 8443}],
        "egress_bytes": 5 * 2**20,
        "ports": [],
    }
    assert f"its image is ghcr.io/team/tool:1@{DIGEST}" in err
    assert "sent 1.5 KiB and received 3 MiB" in err
    assert hypernode("run", "-q", "--image", "alpine")[0] == 0  # what the image does by itself
    assert parse(coordinator.submitted).runtime == ContainerRuntime("alpine")
    code, out, _ = hypernode("job", JOB_ID)
    assert code == 0 and f"docker.io/library/alpine:latest@{DIGEST}" in out and "3 MiB" in out


def test_python_may_reach_hosts_too(reached: Server, hypernode: Run) -> None:
    reached.answer = coordinator = Coordinator()
    code, _, err = hypernode("run", "--allow-host", "10.0.0.1:80", "--", "python", "-c", "pass")
    assert code == 0 and "10.0.0.1 is not an address in the public internet" in err
    assert coordinator.submitted["network"]["egress"] == [{"host": "10.0.0.1", "port": 80}]
    assert "sent" not in err  # nothing is known of its traffic


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--image", "alpine", "--with", "numpy"], "an image brings everything"),
        (["--image", "Alpine:"], "$.runtime.image"),
        (["--image", "alpine", "--fuel", "5"], "for WebAssembly modules"),
        (["--image", "alpine", "--entrypoint", "'x"], "No closing quotation"),
        (["--image", "alpine", "--entrypoint", ""], "$.runtime.entrypoint"),
        (["--workdir", "/x", "--", "python", "-c", "1"], "name an image"),
        (["--egress-limit", "5MiB", "--", "python", "-c", "1"], "name hosts with --allow-host"),
        (["--allow-host", "https://x.example", "--", "python", "-c", "1"], "Write HOST or HOST:PORT"),
        (["--allow-host", "x.example", "--egress-limit", "5", "--", "python", "-c", "1"], "$.network.egress_bytes"),
        ([], "no command is given"),
    ],
)
def test_options_that_do_not_go_together(reached: Server, hypernode: Run, options: list[str], says: str) -> None:
    code, _, err = hypernode("run", *options)
    assert code == 2 and says in err
    assert not reached.heard


@pytest.mark.parametrize("text", [PASSWORD, f"{PASSWORD}\n", f"{PASSWORD}\r\n"])
def test_a_password_comes_from_stdin(
    reached: Server, hypernode: Run, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    reached.answer = lambda _: Reply(200, SECRET)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    code, out, err = hypernode("secret:set", "pull", "--registry", "ghcr.io", "--username", "me")
    assert code == 0 and "--registry-secret pull" in out and PASSWORD not in out + err
    (heard,) = reached.heard
    assert (heard.method, heard.path) == ("PUT", "/api/v1/secrets/pull")
    assert json.loads(heard.body) == {
        "kind": "registry",
        "registry": "ghcr.io",
        "username": "me",
        "password": PASSWORD,
    }


@pytest.mark.parametrize("data", [b"", b"\n", b"\xff\xfe", b"x" * 100_000])
def test_what_is_no_password_is_not_sent(
    reached: Server, hypernode: Run, monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    code, _, err = hypernode("secret:set", "pull", "--registry", "ghcr.io", "--username", "me", "--json")
    assert code == 2 and ("password" in err) and not reached.heard


def test_a_secret_is_deleted_though_the_answer_got_lost(reached: Server, hypernode: Run) -> None:
    reached.script(Reply(pieces=[Drop]), refusal(NotFound("gone")))
    code, out, _ = hypernode("secret:delete", "pull", "--json")
    assert code == 0 and json.loads(out) == {"name": "pull", "deleted": True}
    reached.script(refusal(NotFound("the project has no secret 'pull'")))
    code, _, err = hypernode("secret:delete", "pull")
    assert code == 2 and "not_found" in err
    reached.script(Reply(204))
    assert hypernode("secret:delete", "pull")[:2] == (0, "secret pull is deleted\n")


def test_run_without_a_node_says_why(reached: Server, hypernode: Run) -> None:
    reached.answer = coordinator = Coordinator()
    coordinator.eligible = False
    code, out, err = hypernode("run", "--", "python", "-c", "pass")
    assert (code, out) == (2, "")
    assert "isolation 3 is asked" in err and "lower isolation" in err
    assert coordinator.submitted is None


def test_run_of_an_array(reached: Server, hypernode: Run) -> None:
    reached.answer = coordinator = Coordinator()
    code, _, err = hypernode("run", "--array", "3", "--cap", "0.01 HYPER", "--", "python", "-c", "pass")
    assert code == 0
    assert "3 tasks, 0.01 HYPER each" in err and "3 of 3 tasks succeeded" in err
    assert coordinator.submitted["array"]["size"] == 3


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_leaving_run_cancels_the_job(reached: Server, sent: signal.Signals, tmp_path: Path) -> None:
    reached.answer = coordinator = Coordinator()
    coordinator.hang = True
    code = "from hypernode.cli import main; main()"
    command = [sys.executable, "-c", code, "run", "--", "python", "-c", "pass"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    assert process.stdout is not None
    assert process.stdout.readline() == "hello\n"
    process.send_signal(sent)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 128 + sent
    assert coordinator.cancelled and "cancelling job" in err and "Traceback" not in err


def test_errors_have_a_code_and_a_hint(reached: Server, hypernode: Run) -> None:
    reached.answer = lambda _: refusal(InsufficientFunds("0.5 HYPER \x1b[31mshort"))
    code, out, err = hypernode("wallet")
    assert (code, out) == (2, "")
    assert "0.5 HYPER \ufffd[31mshort [ledger.insufficient_funds]" in err and "hint:" in err


def test_nothing_is_configured(hypernode: Run) -> None:
    code, _, err = hypernode("jobs")
    assert code == 2
    assert "hypernode up" in err and "client.config" in err


def test_wrong_documents_name_every_field(reached: Server, hypernode: Run, tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text("version: 1\ncap: 5 apples\nruntime: {type: python, code: x}\nmemory: 1\n")
    code, _, err = hypernode("submit", "job.yaml")
    assert code == 2
    assert "$.cap" in err and "$.memory" in err
    assert hypernode("submit", "absent.yaml")[0] == 2
    assert not reached.heard


def test_submit_prints_the_id(reached: Server, hypernode: Run, tmp_path: Path) -> None:
    reached.answer = Coordinator()
    (tmp_path / "job.yaml").write_text("version: 1\ncap: 5 HYPER\nruntime: {type: python, code: x}\n")
    code, out, err = hypernode("submit", "job.yaml")
    assert (code, out) == (0, f"{JOB_ID}\n")
    code, out, err = hypernode("submit", "job.yaml", "--wait")
    assert (code, out) == (0, "hello\n")
    assert "succeeded" in err
    code, out, err = hypernode("quote", "job.yaml")
    assert code == 0 and "0.006 HYPER" in out


def test_listings_and_their_json(reached: Server, hypernode: Run) -> None:
    answers: dict[str, Any] = {
        "/jobs": JobPage([job_view(name="odd\x1bname")], None),
        "/nodes": NodePage([NODE], None),
        "/secrets": SecretList([SECRET]),
        "/account": AccountView("p", "lab", 5_000_000, 0, 0, 1),
        "/whoami": Whoami("p", "lab", "hnkey_a"),
        "/network": Network("0.1.0", ("K1",), "K1"),
        "/nodes/join-tokens": JoinTokenView("hnjoin_x", "2026-01-02T00:00:00.000Z"),
    }
    reached.answer = lambda heard: Reply(200, answers[heard.path.removeprefix("/api/v1")])
    for command, shown in {
        "jobs": "odd\ufffdname",
        "nodes": "bubblewrap 2 (python, wasm, egress); docker/runsc 3 (container)",
        "secret:list": "ghcr.io",
        "wallet": "5 HYPER",
        "whoami": "lab",
        "network": "K1",
        "join-token": "hnjoin_x",
    }.items():
        code, out, _ = hypernode(command)
        assert code == 0 and shown in out, command
        code, out, _ = hypernode(command, "--json")
        assert code == 0
        assert json.loads(out) is not None


def test_contexts(hypernode: Run) -> None:
    from hypernode.client.config import Context, save_context

    save_context("local", Context("http://127.0.0.1:1", "hnkey_secret"))
    save_context("far", Context("https://far.example", "k"))
    assert "using local" in hypernode("use", "local")[1]
    _, out, _ = hypernode("contexts")
    assert re.search(r"^\*\s+local", out, re.MULTILINE) and "hnkey_secret" not in out
    assert hypernode("use", "nowhere")[0] == 2
    assert hypernode("--context", "nowhere", "jobs")[0] == 2


def test_usage_errors_are_short(hypernode: Run) -> None:
    assert hypernode("run")[0] == 2
    assert hypernode("nonsense")[0] == 2
    assert hypernode("run", "--", "ls")[0] == 2
    assert hypernode("run", "--env", "x", "--", "python", "-c", "pass")[0] == 2
    assert hypernode("--version")[:2] == (0, "hypernode 0.1.0\n")


def test_a_closed_pipe_is_quiet(reached: Server, tmp_path: Path) -> None:
    reached.answer = lambda _: Reply(200, JobPage([job_view() for _ in range(200)], None))
    code = "from hypernode.cli import main; main()"
    command = f"{sys.executable} -c '{code}' jobs --limit 10000 --json | head -c 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=30, env=os.environ)
    assert "Traceback" not in done.stderr and "Exception" not in done.stderr


def test_help_needs_nothing_heavy() -> None:
    code = (
        "import sys\nfrom hypernode.cli import build\nbuild()\n"
        "print([m for m in ('httpx', 'rich', 'asyncpg', 'litestar') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
