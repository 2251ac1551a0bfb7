"""The interface that is committed is the one that is served."""

import json
import runpy
from pathlib import Path

import httpx

from fakes.network import Network

ROOT = Path(__file__).parents[2]
COMMITTED = json.loads((ROOT / "docs" / "reference" / "openapi.json").read_text())


async def test_served_is_what_is_committed(net: Network) -> None:
    async with httpx.AsyncClient(base_url=net.url) as http:
        served = (await http.get("/schema/openapi.json")).json()
    assert served == COMMITTED, "run `make openapi`"


def test_the_committed_file_is_what_the_tool_writes() -> None:
    tool = runpy.run_path(str(ROOT / "tools" / "openapi.py"))
    assert (ROOT / "docs" / "reference" / "openapi.json").read_text() == tool["text"](tool["document"]())


def test_every_operation_documents_its_refusals_as_problems() -> None:
    for path, methods in COMMITTED["paths"].items():
        for method, operation in methods.items():
            assert operation["summary"] and operation["operationId"]
            if not path.startswith("/api/v1") or path == "/api/v1/network":
                continue
            for status in ("400", "401"):
                content = operation["responses"][status]["content"]
                assert "application/problem+json" in content, (method, path)


def test_what_needs_no_key_says_so() -> None:
    free = {
        path for path, methods in COMMITTED["paths"].items() for o in methods.values() if {} in o.get("security", [{}])
    }
    assert free == {
        "/api/v1/network",
        "/api/v1/nodes/enrol",
        "/api/v1/burns",
        "/api/v1/supply",
        "/healthz",
        "/readyz",
        "/metrics",
    }


def test_schemas_say_what_the_decoder_does() -> None:
    schemas = COMMITTED["components"]["schemas"]
    assert "oneOf" not in json.dumps(schemas), "Litestar's own word for a union: not all came from msgspec"
    assert schemas["PythonRuntime"]["properties"]["type"] == {"enum": ["python"]}
    assert schemas["JobDocument"]["additionalProperties"] is False
    assert schemas["JobDocument"]["properties"]["outputs"]["items"]["maxLength"] == 512
