"""Writes docs/reference/openapi.json: the interface as the coordinator serves it, in one form on every machine.

python tools/openapi.py            write it
python tools/openapi.py --check    exit with 1 if the committed file differs
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import msgspec

from hypernode.coordinator.app import build_app
from hypernode.coordinator.services import Services
from hypernode.coordinator.settings import Settings
from hypernode.kernel.keys import KeyPair

FILE: Final = Path(__file__).resolve().parent.parent / "docs" / "reference" / "openapi.json"


def document() -> dict[str, Any]:
    """The OpenAPI document of an application that is built but never started, so it needs no database."""
    with tempfile.TemporaryDirectory() as folder:
        pool: Any = None
        services = Services(Settings(data=Path(folder)), pool, KeyPair(bytes(32)), b"")
        schema: dict[str, Any] = build_app(services, lambda error: None).openapi_schema.to_schema()
    return schema


def text(schema: dict[str, Any]) -> str:
    """The document as it is committed: keys sorted, so that a change shows as what it is."""
    return json.dumps(json.loads(msgspec.json.encode(schema)), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def main() -> int:
    """Write or check."""
    fresh = text(document())
    if sys.argv[1:] == ["--check"]:
        if FILE.exists() and FILE.read_text() == fresh:
            return 0
        print(f"{FILE.name} differs from the code: run `make openapi`", file=sys.stderr)
        return 1
    FILE.write_text(fresh)
    return 0


if __name__ == "__main__":
    sys.exit(main())
