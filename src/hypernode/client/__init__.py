"""The Python SDK: `Client` and `AsyncClient`, what they need and what they give.

Names are loaded when they are first used, so that importing this costs nothing to those who need one of them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from hypernode.client.aio import AsyncClient
    from hypernode.client.build import LocalJob, container_job, python_job, wasm_job
    from hypernode.client.calls import Network, Whoami
    from hypernode.client.config import Context, load_context, save_context
    from hypernode.client.locks import resolve_requirements
    from hypernode.client.outputs import FetchedOutput
    from hypernode.client.retry import Retry
    from hypernode.client.sync import Client

_FROM: Final = {
    "AsyncClient": "aio",
    "Client": "sync",
    "Context": "config",
    "FetchedOutput": "outputs",
    "LocalJob": "build",
    "Network": "calls",
    "Retry": "retry",
    "Whoami": "calls",
    "container_job": "build",
    "load_context": "config",
    "python_job": "build",
    "resolve_requirements": "locks",
    "save_context": "config",
    "wasm_job": "build",
}

__all__ = [
    "AsyncClient",
    "Client",
    "Context",
    "FetchedOutput",
    "LocalJob",
    "Network",
    "Retry",
    "Whoami",
    "container_job",
    "load_context",
    "python_job",
    "resolve_requirements",
    "save_context",
    "wasm_job",
]


def __getattr__(name: str) -> Any:
    if name not in _FROM:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_FROM[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_FROM])
