"""How a coordinator is run."""

from __future__ import annotations

from pathlib import Path

import msgspec

from hypernode.kernel import limits


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything an operator of a coordinator may choose.

    Without a DSN it brings its own PostgreSQL below `data`. Without a certificate it makes a self-signed one, unless
    `plain` says that TLS ends at a proxy in front of it or that it listens on loopback only.
    """

    data: Path
    dsn: str | None = None
    host: str = "127.0.0.1"
    port: int = 8443
    plain: bool = False
    certificate: Path | None = None
    private_key: Path | None = None
    addresses: tuple[str, ...] = ()
    """URLs under which nodes and clients reach it; join tokens carry them. By default the one it listens on."""
    lease_ms: int = limits.LEASE_MS
    heartbeat_ms: int = limits.HEARTBEAT_MS
    grace_ms: int = limits.RESTART_GRACE_MS
    pool_size: int = 12
    registries: tuple[str, ...] = ()
    """Image registries that may be asked though they are private: `host:port`, or `http://host:port` for one without
    encryption. See `images.reach.Reach`."""

    @property
    def url(self) -> str:
        """Where it listens."""
        scheme = "http" if self.plain else "https"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{self.port}"
