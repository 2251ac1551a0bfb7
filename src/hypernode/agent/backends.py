"""The sandboxes of this node, each with what was proved of it, and which of them a job runs in."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from hypernode.agent.egress.probe import probe as probe_egress
from hypernode.agent.interpreter import Interpreter
from hypernode.agent.refusal import GiveBack
from hypernode.agent.sandboxes.base import Sandbox, SandboxError
from hypernode.agent.wasm.host import WasmHost
from hypernode.jobs.model import JobDocument
from hypernode.nodes.model import Failure, SandboxOffer

log = logging.getLogger(__name__)

WASM_ISOLATION: Final = 1
"""What a module has around it wherever it runs: its own memory, fuel, and no way to anything it was not given."""


class Backend:
    """One sandbox. Until `probe` has been called it offers nothing."""

    def __init__(
        self,
        name: str,
        sandbox: Sandbox,
        wasm: WasmHost | None,
        *,
        best: int = 2,
        native: bool = True,
        egress: Interpreter | None = None,
        lacks: Failure | None = None,
    ) -> None:
        """`name` is what people know it by, also where it turns out that it cannot run. Without `wasm` WebAssembly is
        neither tried nor offered, without `native` nothing else is. `best` is the level that the sandbox reaches where
        all its limits hold. `egress` is the Python to try with whether tasks can be let out; without it none are.
        `lacks` is something else that is missing, and how to get it."""
        self.name = name
        self.sandbox = sandbox
        self.wasm = wasm
        self.best = best
        self.native = native
        self._egress = egress
        self._lacks = lacks
        self.offer: SandboxOffer | None = None
        """What was proved last."""

    async def probe(self) -> SandboxOffer:
        """Have the sandbox attack itself, and try in it what jobs may ask for. Raises SandboxError."""
        making = self.wasm.make() if self.wasm is not None else asyncio.sleep(0)
        proved, _ = await asyncio.gather(self.sandbox.probe(), making)
        runtimes = ["python"] if self.native else []
        isolation = proved.isolation
        failed = [Failure(failure.limit[:256], failure.remedy[:1024]) for failure in proved.failed]
        if self.native and self.sandbox.images is not None:
            runtimes.append("container")
        if self._lacks is not None:
            failed.append(self._lacks)
        # A sandbox for every program that proved nothing has nothing to prove WebAssembly with.
        if self.wasm is not None and (proved.isolation or not self.native):
            failure = await self.wasm.probe()
            if failure is None:
                runtimes.append("wasm")
                isolation = max(isolation, WASM_ISOLATION)
            else:
                failed.append(Failure(failure.limit[:256], failure.remedy[:1024]))
        egress = False
        if self._egress is not None:
            failure = await probe_egress(self.sandbox, self._egress)
            egress = failure is None
            if failure is not None:
                failed.append(Failure(failure.limit[:256], failure.remedy[:1024]))
        self.offer = SandboxOffer(
            name=proved.backend[:64],
            isolation=isolation,
            runtimes=tuple(runtimes),
            egress=egress,
            proved=tuple(name[:256] for name in proved.proved[:64]),
            failed=tuple(failed[:64]),
        )
        return self.offer

    def adds_to(self, offers: Sequence[SandboxOffer]) -> bool:
        """Whether it could do what none of these does. Only what it might reach counts, for it has not been probed."""
        runtimes = ["python"] if self.native else []
        if self.native and self.sandbox.images is not None:
            runtimes.append("container")
        if self.wasm is not None:
            runtimes.append("wasm")
        best = self.best if self.native else WASM_ISOLATION
        as_good = [offer for offer in offers if offer.isolation >= best]
        if self._egress is not None and not any(offer.egress for offer in as_good):
            return True
        return any(not any(runtime in offer.runtimes for offer in as_good) for runtime in runtimes)

    def why_not(self, document: JobDocument) -> GiveBack | None:
        """Why a job cannot run in this sandbox, or None."""
        offer = self.offer
        runtime = document.runtime.__struct_config__.tag
        if offer is None or runtime not in offer.runtimes:
            return GiveBack("node.no_runtime", f"this node runs no {runtime} jobs")
        if document.network is not None and document.network.ports:
            return GiveBack("node.no_network", "this node offers no ports")
        if document.network is not None and document.network.egress and not offer.egress:
            return GiveBack("node.no_network", "this node lets no job out to the network")
        if document.isolation > offer.isolation:
            return GiveBack("node.isolation", f"level {document.isolation} wanted, {offer.isolation} proved")
        return None


class Backends:
    """All of a node's sandboxes, in the order in which it prefers them."""

    def __init__(self, backends: Sequence[Backend]) -> None:
        self._all = tuple(backends)

    async def probe(self) -> tuple[SandboxOffer, ...]:
        """Probe each that could do what those before it cannot. One that cannot run at all is left out; raises
        SandboxError if that is so of every one."""
        errors: list[SandboxError] = []
        offers: list[SandboxOffer] = []
        for backend in self._all:
            if not backend.adds_to(offers):
                backend.offer = None
                continue
            try:
                offer = await backend.probe()
            except SandboxError as error:
                backend.offer = None
                errors.append(error)
                log.warning("sandbox %s is left out: %s", backend.name, error)
                continue
            offers.append(offer)
            log.info("sandbox %s proved isolation level %d", offer.name, offer.isolation)
            for failure in offer.failed:
                log.warning("limit not proved in %s: %s; %s", offer.name, failure.limit, failure.remedy)
        if not offers:
            raise errors[0]
        return tuple(offers)

    def choose(self, document: JobDocument) -> Backend:
        """The first that has all the job asks for. Raises GiveBack with what the last one lacks."""
        why: GiveBack | None = None
        for backend in self._all:
            why = backend.why_not(document)
            if why is None:
                return backend
        assert why is not None, "a node has a sandbox"
        raise why

    async def reap(self) -> None:
        """See `Sandbox.reap`. One that cannot run has nothing to reap."""
        for backend in self._all:
            try:
                await backend.sandbox.reap()
            except SandboxError as error:
                if error.code != "sandbox.unavailable":
                    raise
                log.info("sandbox %s has nothing to reap: %s", backend.name, error)

    async def close(self) -> None:
        """See `Sandbox.close`."""
        for backend in self._all:
            await backend.sandbox.close()
