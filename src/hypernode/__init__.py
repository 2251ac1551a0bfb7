"""Hypernode: an open compute network.

Clients submit jobs, nodes run them in sandboxes, coordinators verify and settle.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from hypernode.client import (
        AsyncClient,
        Client,
        LocalJob,
        container_job,
        python_job,
        resolve_requirements,
        wasm_job,
    )
    from hypernode.jobs.model import JobDocument
    from hypernode.kernel.errors import HypernodeError

__all__ = [
    "AsyncClient",
    "Client",
    "HypernodeError",
    "JobDocument",
    "LocalJob",
    "container_job",
    "python_job",
    "resolve_requirements",
    "wasm_job",
]


def __getattr__(name: str) -> Any:
    # Loaded on first use: the agent and the coordinator import this package too and need none of it.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    homes = {"HypernodeError": "hypernode.kernel.errors", "JobDocument": "hypernode.jobs.model"}
    return getattr(importlib.import_module(homes.get(name, "hypernode.client")), name)
