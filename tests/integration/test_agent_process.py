"""The agent as a process: enrolment over pinned TLS, start, status, stop, kill, by the commands an operator types."""

from __future__ import annotations

import asyncio
import datetime
import hashlib
import ipaddress
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from hypernode.agent import trust
from hypernode.agent.cache import ArtifactCache
from hypernode.agent.enrol import enrol
from hypernode.agent.home import AlreadyANode, Home
from hypernode.agent.journal import read_totals
from hypernode.agent.remote import Remote
from hypernode.kernel.errors import InvalidInput, JoinTokenInvalid, Unauthenticated, Unavailable
from hypernode.kernel.keys import KeyPair
from hypernode.nodes.model import JoinToken
from hypernode.protocol.messages import LeaseRef, Refuse, Running
from integration.agent_fake import Fake, job, make_home, serving

linux_root = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="the sandbox's full strength needs Linux and root"
)


def make_certificate(folder: Path, name: str) -> tuple[Path, Path, bytes]:
    """A self-signed certificate, its key, and its fingerprint."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("192.0.2.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    paths = folder / f"{name}.pem", folder / f"{name}.key"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return *paths, hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).digest()


@pytest.fixture
async def fake() -> AsyncIterator[Fake]:
    async with serving(Fake()) as fake:
        yield fake


async def hypernode(*arguments: str, home: Path, **environment: str) -> tuple[int, str, str]:
    """Run the command; its exit code, stdout and stderr."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "from hypernode.cli import main; main()",
        *arguments,
        "--home",
        str(home),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **environment},
    )
    stdout, stderr = await process.communicate()
    return process.returncode or 0, stdout.decode(), stderr.decode()


async def test_enrols_over_a_pinned_certificate_and_no_other(tmp_path: Path) -> None:
    certificate, key, fingerprint = make_certificate(tmp_path, "coordinator")
    async with serving(Fake(), certificate=(certificate, key)) as fake:
        home = Home(tmp_path / "node")
        wrong = JoinToken((fake.address,), hashlib.sha256(b"another").digest(), fake.secret).text()
        with pytest.raises(trust.UntrustedCoordinator):
            await enrol(home, wrong)
        assert not fake.requests  # nothing was sent
        assert not home.initialised

        token = JoinToken(("https://127.0.0.1:1", fake.address), fingerprint, fake.secret).text()
        config = await enrol(home, token, name="n1")
        assert config.addresses == (fake.address, "https://127.0.0.1:1")
        assert config.coordinator_key == fake.key.public
        assert fake.enrolled[0].public_key == home.key().public
        assert home.certificate_file.read_bytes() == certificate.read_bytes()
        assert home.path.stat().st_mode & 0o777 == 0o700
        assert home.key_file.stat().st_mode & 0o777 == 0o600
        with pytest.raises(AlreadyANode, match="start over"):
            await enrol(home, token)


async def test_a_pinned_certificate_is_the_only_one_trusted(tmp_path: Path) -> None:
    certificate, key, fingerprint = make_certificate(tmp_path, "coordinator")
    other = make_certificate(tmp_path, "impostor")
    fake = Fake()
    async with serving(fake, certificate=(certificate, key)):
        home = Home(tmp_path / "node")
        await enrol(home, JoinToken((fake.address,), fingerprint, fake.secret).text())
    async with serving(fake, certificate=other[:2]):
        import httpx

        context = trust.client_context(home.certificate_file)
        async with httpx.AsyncClient(verify=context, trust_env=False) as client:
            with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
                await client.get(fake.address)


async def test_what_enrolment_refuses(tmp_path: Path, fake: Fake) -> None:
    home = Home(tmp_path / "node")
    with pytest.raises(JoinTokenInvalid):
        await enrol(home, "hnjoin_%%%")
    with pytest.raises(JoinTokenInvalid):
        await enrol(home, JoinToken((fake.address,), b"", "x" * 20).text())
    with pytest.raises(trust.UntrustedCoordinator, match="--insecure-http"):
        await enrol(home, JoinToken(("http://192.0.2.1:80",), b"", "x" * 20).text())
    with pytest.raises(InvalidInput):
        await enrol(home, JoinToken(("ftp://example",), b"", "x" * 20).text())
    with pytest.raises(Unavailable, match="no coordinator could be reached"):
        await enrol(home, JoinToken(("http://127.0.0.1:1",), b"", "x" * 20).text())
    assert not home.initialised
    config = await enrol(home, JoinToken((fake.address,), b"", fake.secret).text())
    assert config.name


async def test_a_wrong_clock_is_noticed_by_the_first_refused_token(tmp_path: Path, fake: Fake) -> None:
    ref = fake.add(b"data")
    lease = LeaseRef(bytes(16), 0, 1)
    fake.held.add(lease)
    remote = Remote((fake.address,), KeyPair.generate(), tls=None, clock=lambda: time.time() - 86_400)
    cache = ArtifactCache(tmp_path, 1000, remote)
    async with cache.hold([ref], lease) as paths:
        assert paths[ref.sha256].read_bytes() == b"data"
    fake.held.clear()
    with pytest.raises(Unauthenticated):  # the clock is known by now: this is a refusal
        await remote.json(lease, "GET", "/api/v1/uploads/x")
    await remote.close()


@linux_root
async def test_the_life_of_a_node_by_its_commands(tmp_path: Path, fake: Fake) -> None:
    home = tmp_path / ("long" * 30) / "node"  # a socket's own address would not hold this path
    code, _, stderr = await hypernode("node:start", home=home)
    assert code == 2 and "node.not_initialised" in stderr
    token = JoinToken((fake.address,), b"", fake.secret).text()
    code, stdout, stderr = await hypernode("node:init", token, "--name", "n1", "--rate", "200 uHYPER", home=home)
    assert code == 0, stderr
    assert "n1" in stdout and "0.0002 HYPER per second" in stdout
    code, stdout, _ = await hypernode("node:status", "--json", home=home)
    assert code == 0 and json.loads(stdout)["state"] == "stopped"

    code, _, stderr = await hypernode("node:start", "--detach", home=home)
    assert code == 0, stderr
    assert fake.hellos[0].capabilities.isolation > 0
    assert fake.hellos[0].ask.rate_per_second == 200
    code, _, stderr = await hypernode("node:start", "--detach", home=home)
    assert code == 2 and "node.home_in_use" in stderr
    code, _, stderr = await hypernode("node:start", home=home)
    assert code == 1 and "node.home_in_use" in stderr

    fake.lease(job("import time; time.sleep(60)", name="sleeper"))
    await fake.next(Running)
    code, stdout, _ = await hypernode("node:status", home=home)
    assert "sleeper" in stdout and "running" in stdout
    code, stdout, _ = await hypernode("node:status", "--json", home=home)
    status = json.loads(stdout)
    assert (status["state"], status["connected_to"], len(status["leases"])) == ("online", fake.address, 1)

    code, _, stderr = await hypernode("node:stop", "--now", home=home)
    assert code == 0, stderr
    assert (await fake.next(Refuse)).code == "node.stopping"
    assert not Home(home).in_use()
    code, stdout, _ = await hypernode("node:logs", home=home)
    assert code == 0 and "connected to" in stdout and fake.secret not in stdout
    code, _, stderr = await hypernode("node:stop", home=home)
    assert code == 2 and "node.not_running" in stderr


@linux_root
async def test_a_killed_agent_leaves_nothing_running_and_says_so(tmp_path: Path, fake: Fake) -> None:
    home = make_home(tmp_path / "node", fake)
    code, _, stderr = await hypernode("node:start", "--detach", home=home.path)
    assert code == 0, stderr
    lease = fake.lease(job("import time; time.sleep(600)", timeout_s=900))
    await fake.next(Running)
    os.kill(int(home.pid_file.read_text()), signal.SIGKILL)
    code, stdout, _ = await hypernode("node:status", "--json", home=home.path)
    assert json.loads(stdout)["state"] == "stopped"
    fake.welcomed.clear()
    code, _, stderr = await hypernode("node:start", "--detach", home=home.path)
    assert code == 0, stderr
    refuse = await fake.next(Refuse)
    assert (refuse.lease, refuse.code) == (lease, "node.restarted")
    os.kill(int(home.pid_file.read_text()), signal.SIGTERM)
    code, _, stderr = await hypernode("node:stop", home=home.path)
    assert code == 0 or "node.not_running" in stderr
    assert read_totals(home.journal_file)[0].failed == 1


@linux_root
async def test_a_start_in_the_background_says_why_it_failed(tmp_path: Path, fake: Fake) -> None:
    home = make_home(tmp_path / "node", fake)
    home.journal_file.write_bytes(b"this is no database, and long enough to be sure of it" * 100)
    code, _, stderr = await hypernode("node:start", "--detach", home=home.path)
    assert code == 1 and "node.journal_damaged" in stderr and "move it away" in stderr
