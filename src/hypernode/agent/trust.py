"""How a node knows that it talks to its coordinator: a pinned certificate, the system's authorities, or loopback."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import ssl
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from hypernode.kernel.errors import InvalidInput, Refused, Unavailable

CONNECT_S = 10.0


class UntrustedCoordinator(Refused):
    """The server is not the coordinator the join token describes; nothing was sent to it."""

    code = "node.untrusted_coordinator"


def parse_address(address: str, *, pinned: bool, insecure_http: bool) -> SplitResult:
    """An address a node may talk to. Raises InvalidInput for what is no http(s) address, and UntrustedCoordinator for
    plain http beyond loopback, where anybody on the way could pose as the coordinator."""
    try:
        parts = urlsplit(address.rstrip("/"))
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidInput(f"{address!r} is not an address: {error}") from error
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment or parts.username:
        raise InvalidInput(f"{address!r} is not an address such as https://coordinator.example:8443")
    if parts.scheme == "http":
        if pinned and not is_loopback(host):
            raise UntrustedCoordinator(f"{address} is plain http, but the join token pins a certificate")
        if not insecure_http and not is_loopback(host):
            raise UntrustedCoordinator(
                f"{address} is plain http; use https, or --insecure-http if a proxy of yours encrypts it"
            )
    return parts


def is_loopback(host: str) -> bool:
    """Whether a host name or address literal means this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def fetch_certificate(parts: SplitResult, fingerprint: bytes) -> str:
    """The server's certificate as PEM, once its SHA-256 proved to be `fingerprint`. Nothing but the TLS handshake is
    sent before. Raises Unavailable (not reachable, no TLS) or UntrustedCoordinator."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # what is trusted is decided below, by the fingerprint
    host, port = parts.hostname or "", parts.port or 443
    try:
        async with asyncio.timeout(CONNECT_S):
            _, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=host)
    except (OSError, TimeoutError) as error:  # ssl.SSLError is an OSError
        raise Unavailable(f"no TLS connection to {host}:{port}: {str(error) or 'no answer'}") from error
    try:
        session = writer.get_extra_info("ssl_object")
        certificate: bytes = session.getpeercert(binary_form=True) or b""
    finally:
        writer.transport.abort()
    if not hmac.compare_digest(hashlib.sha256(certificate).digest(), fingerprint):
        raise UntrustedCoordinator(
            f"the certificate of {host}:{port} has SHA-256 {hashlib.sha256(certificate).hexdigest()}, "
            f"the join token says {fingerprint.hex()}"
        )
    return ssl.DER_cert_to_PEM_cert(certificate)


def client_context(certificate: Path | None) -> ssl.SSLContext:
    """TLS that trusts the pinned certificate and nothing else, or the system's authorities where none is pinned."""
    if certificate is None:
        return ssl.create_default_context()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # The name in the certificate proves nothing more than the certificate itself, which is the only one accepted.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # it may have been issued by an authority we don't know
    context.load_verify_locations(cafile=str(certificate))
    return context
