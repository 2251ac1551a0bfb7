"""The OpenAPI document, taken at its word: schemathesis makes requests from it, and answers must be as it says.

Requests are the same in every run. Event streams never end by themselves, so theirs are opened, read to the first bytes
and closed, as a client that leaves does; what schemathesis can check of an answer is then its status and content type.
"""

import asyncio
import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import load_all_checks
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from fakes.network import job, network
from fakes.node import log_bytes

load_all_checks()

DOCUMENT = Path(__file__).parents[2] / "docs" / "reference" / "openapi.json"
STREAMS = "^/api/v1/(events|jobs/{job_id}/logs/stream)$"
EXAMPLES = 25
WAIT_S = 60.0

schema = schemathesis.openapi.from_path(DOCUMENT)
unhurried = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


class Served:
    """Where the coordinator is, and things in it that requests may name."""

    def __init__(self) -> None:
        self.url = ""
        self.headers: dict[str, str] = {}
        self.known: dict[str, str] = {}
        self.failure: BaseException | None = None


@pytest.fixture(scope="module")
def served(postgres_dsn: str, migrated_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A coordinator in a thread of its own, with a job that has run, one that runs and one that waits."""
    from conftest import temporary_database

    served, ready, leave = Served(), threading.Event(), threading.Event()

    async def serve(dsn: str) -> None:
        async with network(dsn, tmp_path_factory.mktemp("coordinator")) as net:
            await net.prepare()
            node = await net.node()
            done = await net.submit(outputs=["out.bin"], labels={"team": "a"})
            lease = await net.start(node)
            await node.log(lease.lease, log_bytes("hello"))
            output = await node.upload(lease.lease, b"result")
            await node.report(lease, outputs=[output])
            await net.submit()
            await net.start(node)
            await net.submit(resources={"memory_bytes": "1TiB"})
            pending = hashlib.sha256(b"pending").hexdigest()
            upload = (await net.http().post("/uploads", json={"sha256": pending, "size_bytes": 7})).json()
            login = {"registry": "ghcr.io", "username": "u", "password": "p"}
            assert (await net.http().put("/secrets/pull", json=login)).status_code == 200
            served.url = net.url
            served.headers = {"authorization": f"Bearer {net.keys['client']}"}
            served.known = {
                "job_id": done["id"],
                "sha256": output.sha256,
                "node": node.key.public,
                "upload_id": upload["id"],
                "name": "pull",
            }
            ready.set()
            await asyncio.to_thread(leave.wait)
            await net.adds_up()

    def run(dsn: str) -> None:
        try:
            asyncio.run(serve(dsn))
        except BaseException as error:
            served.failure = error
        finally:
            ready.set()

    with temporary_database(postgres_dsn, migrated_template) as dsn:
        thread = threading.Thread(target=run, args=(dsn,))
        thread.start()
        try:
            assert ready.wait(WAIT_S)
            if served.failure is None:
                yield served
        finally:
            leave.set()
            thread.join()
        if served.failure is not None:
            raise served.failure


def name_something_real(case: schemathesis.Case, known: dict[str, str]) -> None:
    """Half of the cases ask about what there is, since a made-up id is never found."""
    for name, value in known.items():
        drawn = case.path_parameters.get(name) if case.path_parameters else None
        if drawn is not None and hashlib.sha256(str(drawn).encode()).digest()[0] % 2:
            case.path_parameters[name] = value


@schema.exclude(path_regex=STREAMS).parametrize()
@unhurried
def test_answers_are_as_documented(case: schemathesis.Case, served: Served) -> None:
    name_something_real(case, served.known)
    response = case.call(base_url=served.url, headers=served.headers)
    assert response.status_code < 500 or response.status_code == 503, response.text
    case.validate_response(
        response,
        checks=[
            status_code_conformance,
            content_type_conformance,
            response_schema_conformance,
            response_headers_conformance,
        ],
    )


@schema.include(path_regex=STREAMS).parametrize()
@unhurried
def test_streams_begin_as_documented(case: schemathesis.Case, served: Served) -> None:
    name_something_real(case, served.known)
    arguments: dict[str, Any] = case.as_transport_kwargs(base_url=served.url, headers=served.headers)
    with requests.request(**{**arguments, "stream": True, "timeout": WAIT_S}) as answer:
        if case.method.upper() != "GET":  # schemathesis tries what is not there, too
            assert answer.status_code == (204 if case.method.upper() == "OPTIONS" else 405)
            return
        documented = case.operation.definition.raw["responses"][str(answer.status_code)]["content"]
        assert answer.headers["content-type"].partition(";")[0] in documented
        if answer.status_code == 200:
            assert next(answer.iter_content(16)).startswith(b": stream begins")


def test_a_job_can_be_submitted_as_documented(served: Served) -> None:
    """The one request everything else needs is within what the document allows."""
    answer = requests.post(f"{served.url}/api/v1/jobs", json=job(), headers=served.headers, timeout=WAIT_S)
    assert answer.status_code == 201
    assert msgspec.json.decode(answer.content)["state"] == "queued"
