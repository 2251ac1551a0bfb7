"""Whom to trust: the system's authorities, a certificate in a file, or one certificate known by its fingerprint."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
import socket
import ssl
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from hypernode.client.errors import CertificateUntrusted, ConfigInvalid, Interrupted

_FINGERPRINT: Final = re.compile(r"^sha256:([0-9a-fA-F]{2}(?::?[0-9a-fA-F]{2}){31})$")
CONNECT_TIMEOUT_S: Final = 10.0


INSECURE_HTTP = "HYPERNODE_INSECURE_HTTP"
"""Set it to allow plain http beyond loopback."""


def fingerprint(text: str) -> str | None:
    """The hex SHA-256 of "sha256:…" (with or without colons between bytes), or None for anything else."""
    found = _FINGERPRINT.match(text.strip())
    return found[1].replace(":", "").lower() if found else None


def check_url(url: str) -> str:
    """A coordinator's address without its trailing slash. Raises ConfigInvalid."""
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        valid = False
    if not valid or parts.query or parts.fragment or parts.username is not None:
        raise ConfigInvalid(f"{url!r} is not a coordinator's address; write it as in 'https://hypernode.example:8443'")
    if parts.scheme == "http" and not on_loopback(url) and not os.environ.get(INSECURE_HTTP):
        raise ConfigInvalid(
            f"{url} is plain http: everybody on the way could read the API key. Use https, or set {INSECURE_HTTP}=1 if "
            "the way is protected otherwise"
        )
    return url.rstrip("/")


def on_loopback(url: str) -> bool:
    """Whether the address is this machine, which no proxy has any business with."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def context(url: str, certificate: str | os.PathLike[str] | None) -> ssl.SSLContext:
    """What to verify the server with. A fingerprint is looked up by connecting once and comparing; the certificate
    found is then the only one trusted. Raises CertificateUntrusted, ConfigInvalid, or Interrupted when nobody answers.
    """
    if certificate is None:
        return ssl.create_default_context()
    expected = fingerprint(str(certificate))
    if expected is None:
        return _from_file(certificate)
    der = _presented(url)
    actual = hashlib.sha256(der).hexdigest()
    if actual != expected:
        raise CertificateUntrusted(
            f"{url} presents a certificate with fingerprint sha256:{actual}, expected sha256:{expected}"
        )
    pinned = _only(ssl.DER_cert_to_PEM_cert(der))
    # The certificate itself is what was named, so under which name it was reached says nothing more.
    pinned.check_hostname = False
    return pinned


def nobody() -> ssl.SSLContext:
    """Trusts no certificate: for plain http, where loading the system's authorities would only take time."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _from_file(certificate: str | os.PathLike[str]) -> ssl.SSLContext:
    path = Path(certificate).expanduser()
    try:
        return _only(path.read_text(encoding="ascii"))
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise ConfigInvalid(
            f"cannot use {str(path)!r} as certificate: {error}; give a PEM file or 'sha256:' and its fingerprint"
        ) from error


def _only(pem: str) -> ssl.SSLContext:
    """Trust these certificates and no authority."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    # A certificate that is no authority may stand for itself.
    made.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    made.load_verify_locations(cadata=pem)
    return made


def _presented(url: str) -> bytes:
    parts = urlsplit(url)
    host = parts.hostname or ""
    unverified = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    unverified.check_hostname = False
    unverified.verify_mode = ssl.CERT_NONE  # only looks: nothing is sent, and what it sees is compared
    try:
        with (
            socket.create_connection((host, parts.port or 443), timeout=CONNECT_TIMEOUT_S) as plain,
            unverified.wrap_socket(plain, server_hostname=host) as secured,
        ):
            return secured.getpeercert(binary_form=True) or b""
    except OSError as error:
        raise Interrupted(f"cannot connect to {url}: {error}", sent=False) from error
