"""What a person types: `up` and `run` in two terminals, a coordinator of one's own over TLS, the demonstration."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from e2e.network import Net, hypernode, left_over, settles
from hypernode.client import Client, Retry, python_job
from hypernode.client.errors import CertificateUntrusted
from hypernode.coordinator.certificates import ensure_self_signed
from hypernode.nodes.model import JoinToken

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def running(
    *arguments: str, ready: str, folder: str | Path = ".", **environment: str
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A command that goes on until it is interrupted; what it said up to the line that has `ready` in it. It runs in
    `folder`."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "hypernode", *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, **environment},
        start_new_session=True,
    )
    assert process.stderr is not None
    try:
        said = ""
        while ready not in said:
            readable, _, _ = select.select([process.stderr], [], [], 120)
            piece = os.read(process.stderr.fileno(), 65536).decode() if readable else ""
            assert piece, f"it ended, or said nothing for two minutes, after:\n{said}"
            said += piece
        yield process, said
    finally:
        if process.poll() is None:
            interrupt(process)


def interrupt(process: subprocess.Popen[bytes]) -> int:
    """Ctrl-C at its terminal; its exit code."""
    process.send_signal(signal.SIGINT)
    try:
        process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return process.returncode


def test_up_and_run_and_ctrl_c_leaves_nothing(place: Path, tmp_path: Path) -> None:
    home = place / "up"
    here = {"HYPERNODE_HOME": str(home), "HYPERNODE_CONFIG": str(home / "config.json")}
    (folder := tmp_path / "theirs").mkdir()  # whose files are not ours to execute, whatever they are called
    for module in ("asyncio", "queue", "hypernode"):
        (folder / f"{module}.py").write_text("open('executed', 'w')")
    with running("up", "--port", "0", ready="ready at ", folder=folder, **here) as (up, _):
        done = hypernode("run", "--with", "six", "--", "python", "-c", "import six; print(six.__name__, 6 * 7)", **here)
        assert (done.returncode, done.stdout) == (0, "six 42\n"), done.stderr
        assert "price paid: " in done.stderr
        assert hypernode("run", "-q", "--", "python", "-c", "raise SystemExit(7)", **here).returncode == 7
        killed = hypernode("run", "-q", "--", "python", "-c", "import os; os.kill(os.getpid(), 9)", **here)
        assert killed.returncode == 137
        late = hypernode("run", "-q", "--timeout", "1s", "--", "python", "-c", "while True: pass", **here)
        assert late.returncode == 124
        jobs = json.loads(hypernode("jobs", "--json", **here).stdout)
        assert len(jobs) == 4
        assert jobs[-1]["state"] == "succeeded"
        assert hypernode("logs", jobs[-1]["id"], **here).stdout == "six 42\n"
        receipt = hypernode("receipt", "--help", **here)
        assert receipt.returncode == 0
        ledger = hypernode("admin", "--data", str(home / "local" / "coordinator"), "ledger", **here)
        assert ledger.returncode == 0
        assert "adds up" in ledger.stdout
        assert left_over(home)
        assert interrupt(up) == 0
    assert settles(lambda: left_over(home)) == []
    assert not (folder / "executed").exists()


def test_ctrl_c_on_a_run_cancels_its_job(net: Net) -> None:
    here = {"HYPERNODE_URL": net.network.url, "HYPERNODE_API_KEY": net.network.client_key}
    code = "import time; time.sleep(600)"
    with running("run", "--", "python", "-c", code, ready="· running", **here) as (run, said):
        assert interrupt(run) == 130
    job_id = said.split("· job ", 1)[1].split(" ", 1)[0]
    assert net.client.wait(job_id, 20).state == "cancelled"


def test_a_coordinator_of_ones_own_over_tls(place: Path, tmp_path: Path) -> None:
    data, home, stranger = place / "tls" / "data", place / "tls" / "node", place / "tls" / "stranger"
    with running("coordinator", "--data", str(data), "--port", "0", ready="make a project") as (coordinator, said):
        url = said.split("serves at ", 1)[1].split()[0]
        pin = said.split("its certificate is ", 1)[1].split()[0]
        assert url.startswith("https://")

        def admin(*arguments: str) -> str:
            done = hypernode("admin", "--data", str(data), *arguments)
            assert done.returncode == 0, done.stderr
            return done.stdout.strip()

        key = json.loads(admin("project", "lab", "--json"))["key"]
        admin("deposit", "lab", "100 HYPER")
        here = {"HYPERNODE_URL": url, "HYPERNODE_API_KEY": key, "HYPERNODE_CERTIFICATE": pin}
        token = hypernode("join-token", **here).stdout.strip()
        parsed = JoinToken.parse(token)
        assert (parsed.addresses, f"sha256:{parsed.fingerprint.hex()}") == ((url,), pin)

        # A man in the middle: another certificate at the same kind of address.
        with _impostor(tmp_path) as false_url:
            forged = JoinToken((false_url,), parsed.fingerprint, parsed.secret).text()
            refused = hypernode("node:init", forged, "--home", str(stranger))
            assert refused.returncode == 2
            assert "Traceback" not in refused.stderr
            assert "[node.untrusted_coordinator]" in refused.stderr, refused.stderr
            with (
                Client(false_url, key, pin, retry=Retry(base_s=60)) as client,
                pytest.raises(CertificateUntrusted) as untrusted,
            ):
                client.whoami()
            assert untrusted.value.code == "tls.untrusted"
            asked = hypernode("whoami", **{**here, "HYPERNODE_URL": false_url})
            assert (asked.returncode, "[tls.untrusted]" in asked.stderr) == (2, True)
        unpinned = hypernode("whoami", HYPERNODE_URL=url, HYPERNODE_API_KEY=key, HYPERNODE_CERTIFICATE="")
        assert "[tls.untrusted]" in unpinned.stderr
        assert not (stranger / "config.json").exists()

        joined = hypernode("node:init", token, "--home", str(home), "--name", "secure")
        assert joined.returncode == 0, joined.stderr
        again = hypernode("node:init", token, "--home", str(stranger))
        assert (again.returncode, "[node.join_token_invalid]" in again.stderr) == (2, True)
        started = hypernode("node:start", "--detach", "--home", str(home))
        try:
            assert started.returncode == 0, started.stderr
            with Client(url, key, pin) as client:
                job = client.submit(
                    python_job(["python", "-c", "print('over TLS')"], cap="1 HYPER", inputs={"x": b"1"}, timeout_s=60)
                )
                assert client.wait(job.id, 60).state == "succeeded"
                assert b"".join(event.data for event in client.logs(job.id)) == b"over TLS\n"
            status = json.loads(hypernode("node:status", "--json", "--home", str(home)).stdout)
            assert (status["state"], status["connected_to"], status["totals"]["done"]) == ("online", url, 1)
            assert "accepted" in hypernode("node:logs", "--home", str(home)).stdout
        finally:
            stopped = hypernode("node:stop", "--home", str(home))
        assert stopped.returncode == 0
        assert interrupt(coordinator) == 0
    assert settles(lambda: left_over(place / "tls")) == []


@contextmanager
def _impostor(folder: Path) -> Iterator[str]:
    """A server with a certificate of its own, that must hear nothing."""
    import socket
    import ssl
    import threading

    certificate, key = ensure_self_signed(folder / "impostor", ("127.0.0.1",))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    heard: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            try:
                connection.settimeout(10)
                with context.wrap_socket(connection, server_side=True) as secure:
                    heard.append(secure.recv(65536))
            except OSError:
                connection.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(15)
    assert not any(heard), f"somebody spoke to a stranger: {heard}"


def test_the_demonstration(place: Path) -> None:
    folder = place / "demo"
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "solubility" / "demo.py")],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
        env={**os.environ, "TMPDIR": str(folder)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("verified") == 8
    assert "1128 molecules" in done.stdout.replace(",", "")
    assert "sum of all accounts" in done.stdout
    assert settles(lambda: left_over(folder)) == []
