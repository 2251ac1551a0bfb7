"""Which sandbox a job runs in, and which sandboxes are worth a probe."""

from __future__ import annotations

from typing import Any

import pytest

from hypernode.agent.backends import Backend, Backends
from hypernode.agent.refusal import GiveBack
from hypernode.agent.sandboxes.base import Capabilities, Failure, SandboxError
from hypernode.jobs.model import JobDocument, parse
from hypernode.nodes.model import SandboxOffer


class Claims:
    """A sandbox that proves what it is told to. Nothing runs in it here: the choice is what is tested."""

    def __init__(self, name: str, isolation: int | SandboxError, *, images: bool = True) -> None:
        self._name = name
        self._isolation = isolation
        self.images = object() if images else None
        self.probes = 0

    async def probe(self) -> Capabilities:
        self.probes += 1
        if isinstance(self._isolation, SandboxError):
            raise self._isolation
        failed = () if self._isolation >= 2 else (Failure("memory", "x" * 9999),)
        return Capabilities(backend=self._name, isolation=self._isolation, proved=("time",), failed=failed)


def backend(name: str, isolation: int | SandboxError, **options: Any) -> Backend:
    images = options.pop("images", True)
    return Backend(name, Claims(name, isolation, images=images), None, **options)  # type: ignore[arg-type]


def job(**fields: Any) -> JobDocument:
    return parse({"version": 1, "cap": 1, "runtime": {"type": "python", "code": "1"}, **fields})


CONTAINER = {"type": "container", "image": "busybox@sha256:" + "0" * 64}


async def test_a_job_runs_in_the_first_sandbox_that_has_all_it_asks_for() -> None:
    weak, strong = backend("bubblewrap", 2, images=False), backend("docker/runsc", 3, best=3)
    both = Backends([weak, strong])
    assert [offer.name for offer in await both.probe()] == ["bubblewrap", "docker/runsc"]
    assert both.choose(job()) is weak
    assert both.choose(job(isolation=3)) is strong
    assert both.choose(job(runtime=CONTAINER)) is strong


async def test_what_adds_nothing_is_not_probed() -> None:
    first, same, wider = backend("bubblewrap", 2), backend("docker/runc", 2), backend("docker/runsc", 3, best=3)
    assert [offer.name for offer in await Backends([first, same, wider]).probe()] == ["bubblewrap", "docker/runsc"]
    assert same.sandbox.probes == 0  # type: ignore[attr-defined]
    weaker = backend("bubblewrap", 1)
    assert [offer.name for offer in await Backends([weaker, same]).probe()] == ["bubblewrap", "docker/runc"]


async def test_what_cannot_run_is_left_out_unless_it_is_all_there_is() -> None:
    missing = SandboxError("sandbox.unavailable", "bubblewrap is missing: apt install bubblewrap")
    absent = backend("bubblewrap", missing)
    assert [offer.name for offer in await Backends([absent, backend("docker/runc", 2)]).probe()] == ["docker/runc"]
    with pytest.raises(SandboxError, match="apt install bubblewrap"):
        await Backends([absent]).probe()


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"isolation": 3}, "node.isolation"),
        ({"runtime": CONTAINER}, "node.no_runtime"),
        ({"network": {"egress": [{"host": "example.org"}]}}, "node.no_network"),
        ({"network": {"ports": [80]}}, "node.no_network"),
    ],
)
async def test_why_not(fields: dict[str, Any], code: str) -> None:
    only = Backends([backend("bubblewrap", 2, images=False)])
    await only.probe()
    with pytest.raises(GiveBack) as why:
        only.choose(job(**fields))
    assert why.value.code == code


async def test_what_is_told_to_coordinators_is_bounded() -> None:
    (offer,) = await Backends([backend("b" * 100, 1)]).probe()
    assert isinstance(offer, SandboxOffer)
    assert (len(offer.name), len(offer.failed[0].remedy)) == (64, 1024)
