"""Whom the client trusts: the certificate it was told, and nobody else."""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from hypernode.client.aio import AsyncClient
from hypernode.client.errors import CertificateUntrusted, ConfigInvalid
from hypernode.client.retry import Retry
from hypernode.client.sync import Client
from integration.test_client_server import FAST, JOB_ID, Reply, Server, job_view


def certificate(folder: Path, name: str, *addresses: str) -> tuple[Path, Path, str]:
    """A self-signed certificate: its file, its key's file, its fingerprint."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(one)) for one in addresses]), False
        )
        .sign(key, hashes.SHA256())
    )
    pem, secret = folder / f"{name}.pem", folder / f"{name}.key"
    pem.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    der = made.public_bytes(serialization.Encoding.DER)
    return pem, secret, f"sha256:{hashlib.sha256(der).hexdigest()}"


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[tuple[Server, Path, str]]:
    pem, key, fingerprint = certificate(tmp_path, "coordinator", "127.0.0.1")
    server = Server(certificate=pem, key=key)
    server.script(Reply(200, job_view()))
    server.start()
    yield server, pem, fingerprint
    server.stop()


async def test_a_pinned_certificate_is_enough(secured: tuple[Server, Path, str]) -> None:
    server, pem, fingerprint = secured
    for pin in (fingerprint, fingerprint.upper().replace("SHA256", "sha256"), pem):
        with Client(server.url, "k", pin, retry=FAST) as client:
            assert client.job(JOB_ID).id == JOB_ID
        async with AsyncClient(server.url, "k", pin, retry=FAST) as other:
            assert (await other.job(JOB_ID)).id == JOB_ID


def test_another_certificate_gets_no_key(secured: tuple[Server, Path, str], tmp_path: Path) -> None:
    server, _, _ = secured
    other, _, fingerprint = certificate(tmp_path, "other", "127.0.0.1")
    for pin in (None, fingerprint, other):
        with Client(server.url, "k", pin, retry=Retry(base_s=60)) as client, pytest.raises(CertificateUntrusted):
            client.job(JOB_ID)  # at once: repeating would not mend it
    assert not server.heard


def test_pins_that_are_none(secured: tuple[Server, Path, str], tmp_path: Path) -> None:
    server, _, _ = secured
    (tmp_path / "empty.pem").write_text("")
    for pin in ("sha256:12", tmp_path / "absent.pem", tmp_path / "empty.pem"):
        with Client(server.url, "k", pin, retry=FAST) as client, pytest.raises(ConfigInvalid):
            client.job(JOB_ID)


def test_a_file_does_not_vouch_for_other_names(tmp_path: Path) -> None:
    pem, key, fingerprint = certificate(tmp_path, "elsewhere", "10.9.8.7")
    server = Server(certificate=pem, key=key)
    server.script(Reply(200, job_view()))
    server.start()
    try:
        with Client(server.url, "k", pem, retry=FAST) as client, pytest.raises(CertificateUntrusted):
            client.job(JOB_ID)
        with Client(server.url, "k", fingerprint, retry=FAST) as client:
            assert client.job(JOB_ID).id == JOB_ID
    finally:
        server.stop()
