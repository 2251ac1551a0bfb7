"""What the runner says about a module, read as what a stranger's program might have had a hand in. Pure."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from hypernode.agent.collect import Collected
from hypernode.agent.plan import Verdict, judge
from hypernode.agent.refusal import GiveBack
from hypernode.agent.sandboxes.base import Outcome as SandboxOutcome
from hypernode.agent.sandboxes.base import Reason
from hypernode.jobs.model import JobDocument
from hypernode.kernel import limits
from hypernode.ledger.receipt import Outcome


class Ran(msgspec.Struct, frozen=True):
    """How a module ended. `own_us`: µs from the start of our work on it to its first instruction."""

    exit_code: Annotated[int, Meta(ge=0, le=255)]
    fuel: Annotated[int, Meta(ge=0, le=limits.WASM_FUEL)]
    out_of_fuel: bool
    trap: str
    own_us: int


class Compiled(msgspec.Struct, frozen=True):
    """How compiling went; `bad_module` says why no node could."""

    compiled: bool = False
    bad_module: str = ""


def ran(ended: SandboxOutcome) -> Ran | None:
    """What the runner said before it ended, or None if it said nothing that makes sense."""
    try:
        return msgspec.json.decode(ended.report, type=Ran)
    except msgspec.DecodeError:
        return None


def compiled(ended: SandboxOutcome) -> Compiled:
    """The same about compiling. Raises GiveBack `wasm.compile_failed` if it said nothing."""
    try:
        return msgspec.json.decode(ended.report, type=Compiled)
    except msgspec.DecodeError as error:
        why = ended.detail or f"{ended.reason.value}, exit code {ended.exit_code}"
        raise GiveBack("wasm.compile_failed", f"the module could not be compiled: {why}") from error


def judge_run(document: JobDocument, ended: SandboxOutcome, collected: Collected | None) -> Verdict:
    """`plan.judge` for a module. Raises GiveBack where the runner ended by itself without saying how.

    The exit code is the one that the runner reports: 128 and more are codes like any other here, no signals.
    """
    if ended.reason is not Reason.EXITED:
        return judge(document, ended, collected)
    said = ran(ended)
    if said is None:
        raise GiveBack("sandbox.failed", f"the WebAssembly host ended without a report, with {ended.exit_code}")
    verdict = judge(document, msgspec.structs.replace(ended, exit_code=said.exit_code, signal=None), collected)
    if said.out_of_fuel:
        notes = (f"ended: out of fuel after {said.fuel}", *verdict.notes)
        verdict = Verdict(Outcome.OUT_OF_FUEL, None, None, verdict.outputs, notes)
    return msgspec.structs.replace(verdict, fuel=said.fuel)
