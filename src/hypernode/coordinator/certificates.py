"""The coordinator's certificate: a given one, or a self-signed one that is known by its fingerprint."""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import socket
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from hypernode.files import write_private

VALID_DAYS = 3650
"""A self-signed certificate is trusted by its fingerprint, so it gains nothing from ending early."""


def fingerprint(certificate: Path) -> bytes:
    """SHA-256 of the first certificate of a PEM file, in DER."""
    loaded = x509.load_pem_x509_certificate(certificate.read_bytes())
    return hashlib.sha256(loaded.public_bytes(serialization.Encoding.DER)).digest()


def ensure_self_signed(folder: Path, hosts: tuple[str, ...]) -> tuple[Path, Path]:
    """Certificate and private key in `folder`, made if they are not there. The key is readable by its owner only."""
    certificate, private_key = folder / "certificate.pem", folder / "certificate.key"
    if certificate.exists() and private_key.exists():
        return certificate, private_key
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Hypernode coordinator")])
    names = dict.fromkeys((*hosts, "localhost", "127.0.0.1", "::1", socket.gethostname()))
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=VALID_DAYS))
        .add_extension(x509.SubjectAlternativeName([_general_name(host) for host in names]), critical=False)
        # Its own authority, and good for nothing else: clients take it as their only trust anchor.
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    write_private(private_key, pem)
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return certificate, private_key


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
