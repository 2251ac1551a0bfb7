"""Setting the programs up: the one `initialize` of each, in the order in which they read each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
from solders.instruction import AccountMeta
from solders.pubkey import Pubkey

from hypernode.chain.programs.bundle import Name
from hypernode.governance.parameters import DAY_S, Parameters
from hypernode.kernel.money import MICRO_PER_HYPER

DECIMALS: Final = 6
SUPPLY: Final = 1_000_000_000 * MICRO_PER_HYPER
"""Of the mint, all of it; token's `initialize` takes no other."""
ROYALTY_BPS: Final = 500
LOADER: Final = Pubkey.from_string("BPFLoaderUpgradeab1e11111111111111111111111")
MOST_VOTED: Final = 8
"""Programs whose parameters a vote may change (MOST_PROGRAMS of governance)."""

TERMS: Final[dict[str, Any]] = {
    "rate": 2_000,
    "fixed": 10_000,
    "least_weight": 100 * MICRO_PER_HYPER,
    "longest_seconds": 7_200,
    "queue_seconds": 3_600,
    "grace_seconds": 600,
    "dispute_seconds": 3_600,
    "fresh_seconds": 300,
    "least_score": 400,
    "padding": bytes(2),
}
"""Terms of a market to try jobs on: prices in µHYPER, a second and a job, and the node's least weight and score."""


class Roles(msgspec.Struct, frozen=True, kw_only=True):
    """Whom the programs are set up with. `deployer` holds their upgrade authority, signs and pays."""

    deployer: Pubkey
    mint: Pubkey
    source: Pubkey
    """The deployer's tokens, of which the part that vests is locked."""
    treasury: Pubkey
    incentive: Pubkey
    operations: Pubkey
    """Token accounts, these three."""
    verifiers: tuple[Pubkey, ...]
    vesting_starts_at: int
    """In Unix seconds."""
    authority: Pubkey
    """Who sets parameters; governance's `["authority"]` where votes do."""
    slasher: Pubkey
    """Who slashes; slashing's `["authority"]` where reports do."""
    slashed: Pubkey
    """The token account for what was slashed: slashing's `["vault"]`."""


class Step(msgspec.Struct, frozen=True):
    """One program's `initialize`; `makes` is there once it was called."""

    program: Name
    arguments: Mapping[str, Any]
    accounts: Mapping[str, Pubkey]
    makes: Pubkey
    more: tuple[AccountMeta, ...] = ()


def derived(program: Pubkey, *seeds: bytes) -> Pubkey:
    """The address that belongs to a program and to these seeds."""
    return Pubkey.find_program_address(list(seeds), program)[0]


def initializations(ids: Mapping[str, Pubkey], roles: Roles, parameters: Parameters | None = None) -> Iterator[Step]:
    """The steps for the programs that `ids` has addresses of, under parameters which are those of the embedded ledger
    by default. Slashing and governance may be left out, where others stand for them."""
    rules = parameters or Parameters()
    mint, authority = {"mint": roles.mint}, {"authority": roles.authority}
    rewards_pool, staking_pool = derived(ids["rewards"], b"pool"), derived(ids["staking"], b"pool")
    stakers = derived(ids["rewards"], b"vault")

    def step(
        program: Name, makes: bytes, arguments: Mapping[str, Any], accounts: Mapping[str, Pubkey], *more: AccountMeta
    ) -> Step:
        own = ids[program]
        who = {"deployer": roles.deployer, "this": own, "program_data": derived(LOADER, bytes(own))}
        return Step(program, arguments, {**who, **accounts}, derived(own, makes), more)

    yield step("rewards", b"pool", {"staking": ids["staking"], "staking_pool": staking_pool}, mint)
    yield step(
        "token",
        b"vesting",
        authority | {"start": roles.vesting_starts_at},
        mint | {"source": roles.source, "stakers": stakers, "operations": roles.operations},
    )
    verifiers = (AccountMeta(key, False, False) for key in roles.verifiers)
    yield step("nodes", b"config", authority | {"threshold": len(roles.verifiers) // 2 + 1}, {}, *verifiers)
    if "slashing" in ids:
        yield step(
            "slashing",
            b"config",
            authority
            | {"staking": ids["staking"], "staking_pool": staking_pool, "nodes": ids["nodes"]}
            | {"parameters": panels(rules)},
            mint | {"collection": derived(ids["token"], b"collection"), "treasury": roles.treasury},
        )
    yield step(
        "staking",
        b"pool",
        authority
        | {"slasher": roles.slasher, "rewards": ids["rewards"], "rewards_pool": rewards_pool}
        | {"parameters": locks(rules)},
        mint | {"slashed": roles.slashed},
    )
    yield step(
        "markets",
        b"config",
        authority
        | {"nodes": ids["nodes"], "nodes_config": derived(ids["nodes"], b"config"), "staking": ids["staking"]}
        | {"split": split(rules)},
        mint | {"treasury": roles.treasury, "incentive": roles.incentive, "stakers": stakers},
    )
    if "governance" in ids:
        voted = [ids[name] for name in ("staking", "slashing", "nodes", "token")]
        yield step(
            "governance",
            b"config",
            {"staking": ids["staking"], "staking_pool": staking_pool, "markets": ids["markets"]}
            | {"programs": voted + [Pubkey.default()] * (MOST_VOTED - len(voted)), "program_count": len(voted)}
            | {"parameters": votes(rules)},
            {},
        )


def split(rules: Parameters) -> dict[str, Any]:
    """Who gets what of a price, as markets has it."""
    shares = rules.market
    return {
        "treasury": shares.treasury_bps,
        "incentive": shares.incentive_bps,
        "stakers": shares.stakers_bps,
        "royalty": ROYALTY_BPS,
    }


def locks(rules: Parameters) -> dict[str, Any]:
    """What a stake may be, as staking has it."""
    return {**msgspec.structs.asdict(rules.staking), "padding": bytes(4)}


def panels(rules: Parameters) -> dict[str, Any]:
    """How reports are judged, as slashing has it, which also bounds how long a panel is drawn."""
    kinds = ("timeout", "offline", "repeated_failures", "invalid_result", "forgery")
    given = msgspec.structs.asdict(rules.slashing)
    bps = [given.pop(f"{kind}_bps") for kind in kinds]
    return {**given, "draw_seconds": DAY_S, "bps": bps, "padding": bytes(6)}


def votes(rules: Parameters) -> dict[str, Any]:
    """How proposals are decided, as governance has it."""
    return {**msgspec.structs.asdict(rules.voting), "padding": bytes(2)}
