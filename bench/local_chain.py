"""Transactions through the local chain: what one costs it, and how many go through in a second.

    python -m bench.local_chain [--transactions 2000]

Transfers of lamports, each to an account of its own and signed beforehand, go over HTTP to the chain's process: one a
request over several connections, and in batches. The chain verifies, executes and keeps each; afterwards all of them
are looked for.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import secrets
import statistics
import time
from collections.abc import Sequence
from typing import Any, Final

import httpx
import msgspec
import psutil
from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

from bench.measuring import Say
from bench.results import Figure, Report, aim, figure
from hypernode.chain.local.process import LocalChain
from hypernode.chain.local.settings import Settings

LAMPORTS: Final = 1_000_000
CONNECTIONS: Final = 8
BATCH: Final = 50
START_AIM_S: Final = 2.0
WAYS: Final = ("one a request", f"{BATCH} a request")


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One repetition of one way."""

    cpu_us: float
    """User and system time of the chain's process, per transaction."""
    rate: float
    """Transactions a second."""


def local_chain(quick: bool, say: Say) -> Report:
    """What a transaction costs the local Solana chain."""
    repetitions, transactions = (2, 1_000) if quick else (5, 4_000)
    figures: list[Figure] = []
    starts = [start_s() for _ in range(repetitions + 1)][1:]  # the first may install packages
    start = figure("start to first answer", "s", statistics.median(starts), starts)
    memory_mib: list[float] = []
    for way in WAYS:
        say(f"{repetitions} × {transactions:,} transactions, {way}")
        found = []
        for _ in range(repetitions):
            measured, rss = measure(transactions, way)
            found.append(measured)
            memory_mib.append(rss / (1 << 20))
        cpu = [one.cpu_us for one in found]
        rates = [one.rate for one in found]
        figures.append(figure(f"CPU per transaction, {way}", "µs", statistics.median(cpu), cpu))
        figures.append(figure(f"transactions per second, {way}", "1/s", statistics.median(rates), rates))
    return Report(
        title="Local Solana chain",
        method="Transfers of lamports, each to an account of its own and signed beforehand, sent to the chain's "
        f"process over {CONNECTIONS} connections without preflight. CPU is user and system time of that "
        "process; the generator shares the machine, so that the rates are floors. Everything is verified, executed in "
        "the runtime and kept in the history; afterwards every receiver's balance is looked at.",
        parameters={"transactions": transactions, "repetitions": repetitions, "slot_ms": 400},
        figures=[start, *figures, figure("memory afterwards", "MiB", statistics.median(memory_mib), memory_mib)],
        aims=[aim("start of the local chain", start, START_AIM_S)],
        checks={"executed": len(WAYS) * repetitions * transactions},
    )


def start_s() -> float:
    """How long a chain takes from nothing to its first answer; its packages are installed."""
    began = time.perf_counter()
    with LocalChain(Settings(port=0)) as chain:
        httpx.post(chain.url, json=_call("getHealth")).raise_for_status()
        return time.perf_counter() - began


def measure(transactions: int, way: str) -> tuple[Measured, int]:
    """Send so many transactions; also the memory of the chain's process afterwards, in bytes. Raises RuntimeError if
    one of them was not executed."""
    with LocalChain(Settings(port=0)) as chain:
        return asyncio.run(_measure(chain, transactions, way))


async def _measure(chain: LocalChain, transactions: int, way: str) -> tuple[Measured, int]:
    assert chain.process is not None
    process = psutil.Process(chain.process.pid)
    limits = httpx.Limits(max_connections=CONNECTIONS)
    async with httpx.AsyncClient(base_url=chain.url, limits=limits, timeout=60) as http:
        payer = Keypair()
        await _result(http, "requestAirdrop", str(payer.pubkey()), 10**12, {"commitment": "processed"})
        latest = await _result(http, "getLatestBlockhash", {"commitment": "processed"})
        targets = [Pubkey.from_bytes(secrets.token_bytes(32)) for _ in range(transactions)]
        size = 1 if way == WAYS[0] else BATCH
        calls = [_sending(payer, target, Hash.from_string(latest["value"]["blockhash"])) for target in targets]
        bodies = [msgspec.json.encode(calls[at : at + size]) for at in range(0, transactions, size)]
        before, began = process.cpu_times(), time.perf_counter()
        await _push(http, bodies)
        passed, after = time.perf_counter() - began, process.cpu_times()
        for at in range(0, transactions, 100):
            keys = [str(target) for target in targets[at : at + 100]]
            found = await _result(http, "getMultipleAccounts", keys, {"commitment": "processed"})
            if any(account is None or account["lamports"] != LAMPORTS for account in found["value"]):
                raise RuntimeError("a transaction was not executed")
        cpu_s = after.user + after.system - before.user - before.system
        return Measured(cpu_us=cpu_s * 1e6 / transactions, rate=transactions / passed), process.memory_info().rss


async def _push(http: httpx.AsyncClient, bodies: Sequence[bytes]) -> None:
    waiting = iter(bodies)

    async def sender() -> None:
        for body in waiting:
            (await http.post("/", content=body)).raise_for_status()

    await asyncio.gather(*(sender() for _ in range(CONNECTIONS)))


def _sending(payer: Keypair, to: Pubkey, blockhash: Hash) -> dict[str, Any]:
    pay = transfer(TransferParams(from_pubkey=payer.pubkey(), to_pubkey=to, lamports=LAMPORTS))
    made = VersionedTransaction(MessageV0.try_compile(payer.pubkey(), [pay], [], blockhash), [payer])
    return _call(
        "sendTransaction", base64.b64encode(bytes(made)).decode(), {"encoding": "base64", "skipPreflight": True}
    )


def _call(method: str, *params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


async def _result(http: httpx.AsyncClient, method: str, *params: Any) -> Any:
    return (await http.post("/", json=_call(method, *params))).json()["result"]


def main() -> None:
    """Print it."""
    parser = argparse.ArgumentParser(prog="python -m bench.local_chain", description=__doc__)
    parser.add_argument("--transactions", type=int, default=2000)
    arguments = parser.parse_args()
    print(f"start: {start_s():.2f} s")
    for way in WAYS:
        found, memory = measure(arguments.transactions, way)
        print(f"{way}: {found.cpu_us:.0f} µs of CPU each, {found.rate:.0f} a second, {memory / 2**20:.0f} MiB")


if __name__ == "__main__":
    main()
