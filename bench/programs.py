"""The Solana programs: what each instruction costs, and rewards with many stakers.

    python -m bench.programs [--stakers 1000]

The committed images run in the runtime of validators (LiteSVM) with mainnet's features, through the history in which
every instruction of every program succeeds. Compute units are counted by the runtime, so that they are exact and the
same on every machine. Then rewards are distributed and claimed among a few and among many stakes.
"""

from __future__ import annotations

import argparse
import statistics
import struct
import time
import tomllib
from typing import Final

import msgspec
from solders.account import Account
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.transaction import Transaction
from solders.transaction_metadata import TransactionMetadata

from bench.measuring import CheckFailed, Say
from bench.results import ROOT, Figure, Report, Table, aim, figure
from programs.coder import idl
from programs.journey import rule, travel
from programs.network import ALL, Network
from programs.world import ED25519, HYPER, World

SIGNATURE_LAMPORTS: Final = 5_000
OPEN_AIM_UNITS: Final = 10_000
SETTLE_AIM_UNITS: Final = 5_000
FLAT_AIM: Final = 1.05
BY_INSTRUCTION: Final = 1_000
"""Stakes that are made by instructions; more than these are written into the runtime's accounts."""
AMOUNT: Final = 100 * HYPER
DAYS: Final = 30
REWARD: Final = 1_000 * HYPER


class Cost(msgspec.Struct):
    """The most that one instruction cost in a history. Lamports of accounts are a deposit, which comes back to whoever
    paid it when they close."""

    units: int = 0
    signatures: int = 0
    deposited: int = 0
    returned: int = 0


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """Rewards among so many stakes."""

    stakers: int
    distribute_units: int
    claim_units: list[int]
    claim_us: list[float]
    """CPU of this process for a claim: signing, verifying, executing."""


def programs(quick: bool, say: Say) -> Report:
    """What instructions cost, and what rewards cost when many stake."""
    say("every instruction of every program")
    costs = measure_costs()
    fee, deposit = cost_to_a_wallet()
    if (fee, deposit) != (SIGNATURE_LAMPORTS, costs["markets", "open"].deposited):
        raise CheckFailed(
            f"opening a job cost its client {fee} and {deposit} lamports, which is not what the table says"
        )
    sizes, times = ((10, 100, 1_000), 20) if quick else ((10, 1_000, 100_000), 200)
    found = []
    for stakers in sizes:
        say(f"rewards among {stakers:,} stakers")
        found.append(measure_claims(stakers, times))
    figures = [_exact(f"markets.{name}", costs["markets", name].units) for name in ("open", "settle")]
    few, many = found[0], found[-1]
    ratio = statistics.median(many.claim_units) / statistics.median(few.claim_units)
    flat = figure(
        f"units of a claim among {many.stakers:,} stakers over those among {few.stakers:,}", "×", ratio, [ratio]
    )
    return Report(
        title="Solana programs",
        method="The committed images (SBF v3) in LiteSVM with mainnet's features. Compute units are of the whole "
        "instruction with all it calls, the most in a history in which every instruction succeeds, as if the first "
        "bump fits every account it makes; each further bump tried costs 1,500. The fee is 5,000 lamports a signature, "
        "without priority; deposits are lamports of accounts that it makes, and come back when they close. Stakers: "
        "each stake has 100 HYPER; 1,000 HYPER are distributed. "
        f"The first {BY_INSTRUCTION:,} stakes are made by instructions, further ones written into the runtime as the "
        "program would have written them, with the pool's sums. Claims are of stakes chosen at random from all; their "
        "CPU is of this process, with signing and verifying, and the machine is shared.",
        parameters={"stakers": list(sizes), "claims": times},
        figures=[*figures, flat, *(each for claims in found for each in _figures(claims))],
        aims=[
            aim("opening a job", figures[0], OPEN_AIM_UNITS),
            aim("settling a job", figures[1], SETTLE_AIM_UNITS),
            aim("a claim does not depend on how many stake", flat, FLAT_AIM),
        ],
        checks={"instructions": len(costs), "claims paid": sum(len(claims.claim_units) for claims in found)},
        tables=[_table(costs)],
    )


def _exact(name: str, units: int) -> Figure:
    return figure(name, "units", units, [units])


def _figures(claims: Claims) -> list[Figure]:
    among = f"among {claims.stakers:,} stakers"
    return [
        _exact(f"distribute {among}", claims.distribute_units),
        figure(f"claim {among}", "units", statistics.median(claims.claim_units), claims.claim_units),
        figure(f"CPU of a claim {among}", "µs", statistics.median(claims.claim_us), claims.claim_us),
    ]


def _table(costs: dict[tuple[str, str], Cost]) -> Table:
    budgets = tomllib.loads((ROOT / "programs" / "compute.toml").read_text())
    rows = []
    for (program, name), cost in costs.items():
        budget, fee = budgets[program][name]["budget"], cost.signatures * SIGNATURE_LAMPORTS
        numbers = (cost.units, budget, fee, cost.deposited, cost.returned)
        rows.append([f"{program}.{name}", *(f"{number:,}" for number in numbers)])
    columns = ["instruction", "units", "budget", "fee, lamports", "deposited", "returned"]
    return Table("What an instruction costs", columns, rows)


# --- what an instruction costs --------------------------------------------------------------------------------------
class Meter:
    """Told of each instruction before it runs, keeps what it cost."""

    def __init__(self) -> None:
        self.costs: dict[tuple[str, str], Cost] = {}
        self._before: list[tuple[Pubkey, int]] = []
        self._running = Cost()

    def __call__(
        self, world: World, program: str, name: str, sent: Instruction, _: list[Keypair], before: list[Instruction]
    ) -> None:
        if self._after not in world.watchers:
            world.watchers.append(self._after)
        self._running = self.costs.setdefault((program, name), Cost())
        signers = len({meta.pubkey for meta in sent.accounts if meta.is_signer})
        proofs = sum(each.program_id == ED25519 for each in before)
        self._running.signatures = max(self._running.signatures, max(1, signers) + proofs)
        self._before = [(meta.pubkey, world.svm.get_balance(meta.pubkey) or 0) for meta in sent.accounts]

    def _after(self, world: World) -> None:
        now = [(before, world.svm.get_balance(key) or 0) for key, before in self._before]
        made = sum(after for before, after in now if not before)
        closed = sum(before for before, after in now if not after)
        self._running.deposited = max(self._running.deposited, made)
        self._running.returned = max(self._running.returned, closed)


def measure_costs() -> dict[tuple[str, str], Cost]:
    """The most that each instruction cost, by program and name."""
    meter = Meter()
    for network in (travel(meter), *rule(meter)):
        for instruction, units in network.world.units.items():
            cost = meter.costs[instruction]
            cost.units = max(cost.units, *units)
    order = [(program, name) for program in ALL for name in idl(program).instructions]
    return {instruction: meter.costs[instruction] for instruction in order if instruction in meter.costs}


def cost_to_a_wallet() -> tuple[int, int]:
    """Lamports that opening a job costs a client who pays for the transaction alone: the fee, and what lies in the
    job."""
    network = Network()
    network.market()
    world, client = network.world, network.world.person()
    tokens, page = world.tokens(client.pubkey(), 100 * HYPER), network.page()
    opening = world.instruction(
        "markets", "open", client=client.pubkey(), source=tokens, page=page, id=0, seconds=60, document=bytes(32),
        author=Pubkey.default(), terms=network.terms(),
    )  # fmt: skip
    before = world.svm.get_balance(client.pubkey()) or 0
    world.svm.expire_blockhash()
    message = Message([opening], client.pubkey())
    done = world.svm.send_transaction(Transaction([client], message, world.svm.latest_blockhash()))
    if not isinstance(done, TransactionMetadata):
        raise CheckFailed(f"a client alone could not open a job: {done}")
    job = world.svm.get_balance(world.address("markets", "job", client.pubkey(), 0)) or 0
    return before - (world.svm.get_balance(client.pubkey()) or 0) - job, job


# --- rewards among many ---------------------------------------------------------------------------------------------
def measure_claims(stakers: int, times: int) -> Claims:
    """Distribute among so many stakes, and claim for some of them."""
    network = Network()
    world = network.world
    owners = _stake(network, min(stakers, BY_INSTRUCTION))
    owners += _write(network, owners[0], stakers - len(owners))
    world.check()
    distributed = network.reward(REWARD).units
    units, taken = [], []
    for owner in world.random.choices(owners, k=times):
        stake, tokens = world.address("staking", "stake", owner, 0), world.tokens(owner)
        claim = world.address("rewards", "claim", stake)
        if world.exists(claim):
            continue
        register = world.instruction("rewards", "register", payer=world.payer.pubkey(), stake=stake)
        claiming = world.instruction("rewards", "claim", stake=stake, claim=claim, destination=tokens)
        world.submit([register], [])
        began = time.process_time()
        sent = world.submit([claiming], [])
        taken.append((time.process_time() - began) * 1e6)
        units.append(sent.units)
        if not 0 <= REWARD // stakers - world.balance(tokens) <= 1:  # divisions floor
            raise CheckFailed(f"a claim paid {world.balance(tokens)} µHYPER among {stakers} equal stakes")
    world.check()
    return Claims(stakers=stakers, distribute_units=distributed, claim_units=units, claim_us=taken)


def _stake(network: Network, count: int) -> list[Pubkey]:
    """So many stakes by instructions. Returns their owners."""
    world, owners = network.world, []
    for _ in range(count):
        owner = world.person()
        tokens = world.tokens(owner.pubkey(), AMOUNT)
        stake = world.address("staking", "stake", owner.pubkey(), 0)
        opened = world.instruction("staking", "open", payer=world.payer.pubkey(), owner=owner.pubkey(), id=0)
        staked = world.instruction(
            "staking", "stake", owner=owner.pubkey(), stake=stake, source=tokens, amount=AMOUNT, days=DAYS
        )
        world.submit([opened, staked], [owner])
        owners.append(owner.pubkey())
    return owners


def _write(network: Network, like: Pubkey, count: int) -> list[Pubkey]:
    """So many stakes more, as copies of the one of the owner `like`, with the sums of the pool and the tokens in its
    vault. Returns their owners."""
    world, staking = network.world, idl("staking")
    pool, vault = world.named["staking_pool"], world.named["staking_vault"]
    stake, sums = world.address("staking", "stake", like, 0), world.record("staking", "Pool", pool)
    fields, owners = world.record("staking", "Stake", stake), []
    lamports = world.svm.get_balance(stake) or 0
    for _ in range(count):
        owner = Pubkey.from_bytes(world.random.randbytes(32))
        seeds = [b"stake", bytes(owner), bytes(8)]
        address, bump = Pubkey.find_program_address(seeds, world.ids["staking"])
        data = staking.encode_record("Stake", fields | {"owner": owner, "bump": bump})
        world.svm.set_account(address, Account(lamports, data, world.ids["staking"]))
        owners.append(owner)
    _replace(world, pool, staking.encode_record(
        "Pool", sums | {name: sums[name] + count * fields[name] for name in ("amount", "weight")}
    ))  # fmt: skip
    for place, change in ((vault, count * AMOUNT), (world.reserve, -count * AMOUNT)):
        there = world.svm.get_account(place)
        assert there is not None
        amount = struct.pack("<Q", world.balance(place) + change)
        _replace(world, place, there.data[:64] + amount + there.data[72:])
    return owners


def _replace(world: World, place: Pubkey, data: bytes) -> None:
    there = world.svm.get_account(place)
    assert there is not None
    world.svm.set_account(place, Account(there.lamports, data, there.owner))


def main() -> None:
    """Print it."""
    parser = argparse.ArgumentParser(prog="python -m bench.programs", description=__doc__)
    parser.add_argument("--stakers", type=int, default=1_000)
    arguments = parser.parse_args()
    for (program, name), cost in measure_costs().items():
        print(f"{program}.{name}: {cost.units:,} units, {cost.signatures} signatures, {cost.deposited:,} lamports")
    claims = measure_claims(arguments.stakers, 20)
    print(
        f"{claims.stakers:,} stakers: distribute {claims.distribute_units:,} units, claim "
        f"{statistics.median(claims.claim_units):,.0f} units and {statistics.median(claims.claim_us):.0f} µs"
    )


if __name__ == "__main__":
    main()
