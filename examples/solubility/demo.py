"""`make demo`: a network on this machine, the solubility job on it, the answer, the receipts, the ledger.

Leaves nothing running and nothing behind.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import aclosing, nullcontext
from pathlib import Path

from merge import fit, merge
from rich.console import Console
from rich.live import Live
from rich.table import Table

from hypernode.client import AsyncClient, LocalJob, python_job, resolve_requirements
from hypernode.coordinator.local import LocalNetwork
from hypernode.jobs.views import JobView
from hypernode.kernel.errors import HypernodeError
from hypernode.kernel.money import show
from hypernode.ledger.model import LedgerSummary
from hypernode.ledger.receipt import verify

HERE = Path(__file__).resolve().parent
DATA = HERE / "data" / "delaney-processed.csv"
TASKS = 8
NODES = 2
console = Console(highlight=False, soft_wrap=not sys.stdout.isatty())


class Board:
    """What each task is doing, as the network's events tell."""

    def __init__(self, names: dict[str, str]) -> None:
        self._names = names
        self._state = ["queued"] * TASKS
        self._node = [""] * TASKS
        self._since = [time.monotonic()] * TASKS
        self._took = [0.0] * TASKS

    def hear(self, kind: str, task: int, node: str | None) -> str:
        """Take an event in; gives it as a line."""
        words = {"task.leased": "preparing", "task.running": "running", "task.accepted": "done"}
        state = words.get(kind, kind.removeprefix("task."))
        if state == "preparing":
            self._since[task] = time.monotonic()
        self._state[task] = state
        self._node[task] = self._names.get(node or "", "") or self._node[task]
        self._took[task] = time.monotonic() - self._since[task]
        return f"  task {task}: {state:<10} {self._node[task]}"

    def __rich__(self) -> Table:
        table = Table(box=None, pad_edge=False)
        for title in ("  task", "state", "node", "seconds"):
            table.add_column(title, justify="right" if title in ("  task", "seconds") else "left")
        for task, state in enumerate(self._state):
            live = state in ("preparing", "running")
            took = time.monotonic() - self._since[task] if live else self._took[task]
            style = {"done": "green", "running": "yellow", "preparing": "yellow"}.get(state, "")
            table.add_row(str(task), state, self._node[task], f"{took:.1f}" if self._node[task] else "", style=style)
        return table


def build(lock: bytes, isolation: int) -> LocalJob:
    """The array job, without a cap yet."""
    return python_job(
        ["python", str(HERE / "solubility.py"), f"/in/{DATA.name}", str(TASKS)],
        name="solubility",
        inputs={DATA.name: DATA},
        lock=lock,
        outputs=["result.csv"],
        array={"size": TASKS},
        timeout_s="10m",
        isolation=isolation,
    )


async def priced(client: AsyncClient, lock: bytes) -> LocalJob:
    """The job with the cheapest node's worst price as its cap."""
    job = build(lock, isolation=2)
    first = await client.quote(job)
    if first.cheapest_worst_price is None and all(item.code == "isolation" for item in first.excluded):
        # They are one's own nodes. A job must say itself that less is enough; nothing falls back silently.
        proved = min([node.capabilities.isolation async for node in client.nodes() if node.capabilities])
        console.print(
            f"These nodes prove isolation {proved} only (as root they prove 2), so the demo asks for {proved}."
        )
        job = build(lock, isolation=proved)
        first = await client.quote(job)
    if first.cheapest_worst_price is None:
        raise SystemExit("\n".join(f"{item.nodes} nodes: {item.reason}; {item.remedy}" for item in first.excluded))
    job = job.with_cap(first.cheapest_worst_price)
    able = (await client.quote(job)).eligible
    console.print(
        f"Quote: {TASKS} tasks, each at most {show(job.document.cap)} (10 minutes); {len(able)} nodes can run them"
    )
    return job


async def watch(client: AsyncClient, job: JobView, names: dict[str, str]) -> JobView:
    """Show progress until the job has ended."""
    board = Board(names)
    live = Live(board, console=console, refresh_per_second=4) if console.is_terminal else nullcontext()
    with live:
        async with aclosing(client.events(job.id)) as events:
            async for event in events:
                if event.task is None:
                    continue
                line = board.hear(event.kind, event.task, event.node)
                if not console.is_terminal:
                    console.print(line)
    return await client.wait(job.id)


def answer(folder: Path) -> None:
    """Merge the results and print how well both predictions agree with the measurements."""
    merged = merge(DATA, [folder / str(task) / "result.csv" for task in range(TASKS)])
    table = Table(box=None, pad_edge=False)
    for title in ("", "RMSE (log mol/l)", "R²"):
        table.add_column(title, justify="right" if title else "left")
    for title, predicted in (
        ("Delaney's equation with RDKit's descriptors", merged.ours),
        ("Delaney's own prediction", merged.delaney),
    ):
        found = fit(merged.measured, predicted)
        table.add_row(title, f"{found.rmse:.3f}", f"{found.r2:.3f}")
    console.print(f"\nAnswer: {len(merged.ours)} molecules, predicted against measured solubility", style="bold")
    console.print(table)


async def receipts(client: AsyncClient, job: JobView, names: dict[str, str]) -> int:
    """Check every receipt with public keys alone and print it; gives how many there are."""
    coordinators = (await client.network()).coordinators
    found = [receipt async for receipt in client.receipts(job.id)]
    table = Table(box=None, pad_edge=False)
    for title in ("task", "node", "billed", "price", "operator", "fees", "receipt"):
        table.add_column(title, justify="left" if title in ("node", "receipt") else "right")
    for receipt in found:
        run, decision = receipt.body.run, receipt.decision
        if run.node not in names or decision.coordinator not in coordinators or run.job_id != job.id:
            raise SystemExit(f"a receipt is signed by strangers: {run.node}, {decision.coordinator}")
        verify(receipt, run.node, decision.coordinator)
        price, operator = decision.split.price, decision.split.operator
        seconds = f"{decision.billed_ms / 1000:.2f} s"
        cells = (seconds, show(price), show(operator), show(price - operator))
        table.add_row(str(receipt.body.work.task), names[run.node], *cells, "verified")
    console.print("\nReceipts, each checked offline with the public keys of its node and coordinator", style="bold")
    console.print(table)
    return len(found)


def ledger(summary: LedgerSummary, job: JobView) -> None:
    """Print the whole ledger; it must sum to zero."""
    console.print("\nLedger", style="bold")
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for kind, balance in summary.balances.items():
        table.add_row(kind, show(balance))
    table.add_row("sum of all accounts", show(summary.total), style="bold")
    console.print(table)
    console.print(f"{summary.transfers} transfers, {summary.settlements} settlements; the job cost {show(job.spent)}")
    if summary.total != 0 or not summary.consistent:
        raise SystemExit("the ledger does not add up")


async def run(network: LocalNetwork, resolving: Future[bytes], results: Path) -> JobView:
    """The job, from its quote to its receipts."""
    async with AsyncClient(network.url, network.client_key) as client:
        lock = await asyncio.wrap_future(resolving)
        job = await priced(client, lock)
        names = {node.node: node.name async for node in client.nodes()}
        submitted = await client.submit(job)
        console.print(f"Job {submitted.id}: {show(submitted.held)} held in escrow")
        ended = await watch(client, submitted, names)
        if ended.state != "succeeded":
            for sentence in (await client.explain(ended.id)).sentences:
                console.print(f"  {sentence}", markup=False)
            raise SystemExit(f"the job {ended.state}")
        await client.fetch_outputs(ended.id, results)
        answer(results)
        if await receipts(client, ended, names) != TASKS:
            raise SystemExit("a receipt is missing")
        return ended


def main() -> None:
    """Everything, in order."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="hypernode-demo-") as name, ThreadPoolExecutor(1) as pool:
        folder = Path(name)
        console.print(f"Starting a network: a database, a coordinator and {NODES} nodes …")
        resolving = pool.submit(resolve_requirements, ["rdkit"])
        with LocalNetwork(folder / "network", nodes=NODES) as network:
            ended = asyncio.run(run(network, resolving, folder / "results"))
            ledger(network.ledger_summary(), ended)
            console.print("\nStopping the network …")
    console.print(f"Done in {time.monotonic() - started:.0f} s; nothing is left running.")


if __name__ == "__main__":
    try:
        main()
    except HypernodeError as error:
        sys.exit(f"error: {error} [{error.code}]")
    except KeyboardInterrupt:
        sys.exit(130)
