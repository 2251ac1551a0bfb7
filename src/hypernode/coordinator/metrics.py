"""What a coordinator counts, in Prometheus' format."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics


class Metrics:
    """One registry a process, so that tests can run several coordinators side by side."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "hypernode_http_requests",
            "Requests by route and status",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.nodes = Gauge("hypernode_nodes_connected", "Nodes connected to this coordinator", registry=self.registry)
        self.leases = Counter("hypernode_leases", "Leases given", registry=self.registry)
        self.ended = Counter(
            "hypernode_attempts_ended",
            "Attempts that ended, by what became of them",
            ["outcome"],
            registry=self.registry,
        )
        self.refused = Counter(
            "hypernode_reports_refused", "Reports refused, by code", ["code"], registry=self.registry
        )
        self.log_bytes = Counter("hypernode_log_bytes", "Log bytes taken from nodes", registry=self.registry)
        self.frames = Counter("hypernode_frames", "Frames from nodes", registry=self.registry)
        self.bad_frames = Counter(
            "hypernode_bad_connections",
            "Connections ended for what came over them, by code",
            ["code"],
            registry=self.registry,
        )
        self.match_s = Histogram(
            "hypernode_match_seconds",
            "Duration of one matching pass",
            registry=self.registry,
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1),
        )

    def expose(self, accept: str) -> tuple[bytes, str]:
        """The text and its content type, in the format the scraper asks for."""
        if "application/openmetrics-text" in accept:
            openmetrics: bytes = generate_openmetrics(self.registry)  # type: ignore[no-untyped-call]
            return openmetrics, CONTENT_TYPE_LATEST
        text: bytes = generate_latest(self.registry)
        return text, "text/plain; version=0.0.4; charset=utf-8"
