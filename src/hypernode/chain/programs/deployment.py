"""Setting the programs up: the one `initialize` of each, in the order in which they read each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec
from msgspec.structs import asdict
from solders.instruction import AccountMeta
from solders.pubkey import Pubkey

from hypernode.chain.programs.calls import Call, Key
from hypernode.chain.programs.typed import governance, markets, nodes, rewards, slashing, staking, token
from hypernode.governance.parameters import DAY_S, Parameters
from hypernode.kernel.money import MICRO_PER_HYPER

DECIMALS: Final = 6
SUPPLY: Final = 1_000_000_000 * MICRO_PER_HYPER
"""Of the mint, all of it; token's `initialize` takes no other."""
ROYALTY_BPS: Final = 500
LOADER: Final = Pubkey.from_string("BPFLoaderUpgradeab1e11111111111111111111111")
MOST_VOTED: Final = 8
"""Programs whose parameters a vote may change (MOST_PROGRAMS of governance)."""

TERMS: Final = markets.Terms(
    rate=2_000,
    fixed=10_000,
    least_weight=100 * MICRO_PER_HYPER,
    longest_seconds=7_200,
    queue_seconds=3_600,
    grace_seconds=600,
    dispute_seconds=3_600,
    fresh_seconds=300,
    least_score=400,
)
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

    call: Call
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
    mint, authority = {"mint": roles.mint}, roles.authority
    rewards_pool, staking_pool = derived(ids["rewards"], b"pool"), derived(ids["staking"], b"pool")
    stakers = derived(ids["rewards"], b"vault")

    def step(call: Call, makes: bytes, accounts: Mapping[str, Pubkey], *more: AccountMeta) -> Step:
        own = ids[call.program]
        who = {"deployer": roles.deployer, "this": own, "program_data": derived(LOADER, bytes(own))}
        return Step(call, {**who, **accounts}, derived(own, makes), more)

    yield step(rewards.initialize(staking=ids["staking"], staking_pool=staking_pool), b"pool", mint)
    yield step(
        token.initialize(authority=authority, start=roles.vesting_starts_at),
        b"vesting",
        mint | {"source": roles.source, "stakers": stakers, "operations": roles.operations},
    )
    verifiers = (AccountMeta(key, False, False) for key in roles.verifiers)
    yield step(
        nodes.initialize(authority=authority, threshold=len(roles.verifiers) // 2 + 1), b"config", {}, *verifiers
    )
    if "slashing" in ids:
        yield step(
            slashing.initialize(
                authority=authority,
                staking=ids["staking"],
                staking_pool=staking_pool,
                nodes=ids["nodes"],
                parameters=panels(rules),
            ),
            b"config",
            mint | {"collection": derived(ids["token"], b"collection"), "treasury": roles.treasury},
        )
    yield step(
        staking.initialize(
            authority=authority,
            slasher=roles.slasher,
            rewards=ids["rewards"],
            rewards_pool=rewards_pool,
            parameters=locks(rules),
        ),
        b"pool",
        mint | {"slashed": roles.slashed},
    )
    yield step(
        markets.initialize(
            authority=authority,
            nodes=ids["nodes"],
            nodes_config=derived(ids["nodes"], b"config"),
            staking=ids["staking"],
            split=split(rules),
        ),
        b"config",
        mint | {"treasury": roles.treasury, "incentive": roles.incentive, "stakers": stakers},
    )
    if "governance" in ids:
        voted: list[Key] = [ids[name] for name in ("staking", "slashing", "nodes", "token")]
        yield step(
            governance.initialize(
                staking=ids["staking"],
                staking_pool=staking_pool,
                markets=ids["markets"],
                programs=voted + [Pubkey.default()] * (MOST_VOTED - len(voted)),
                program_count=len(voted),
                parameters=votes(rules),
            ),
            b"config",
            {},
        )


def split(rules: Parameters) -> markets.Split:
    """Who gets what of a price."""
    shares = rules.market
    return markets.Split(
        treasury=shares.treasury_bps,
        incentive=shares.incentive_bps,
        stakers=shares.stakers_bps,
        royalty=ROYALTY_BPS,
    )


def locks(rules: Parameters) -> staking.Parameters:
    """What a stake may be."""
    return staking.Parameters(**asdict(rules.staking))


def panels(rules: Parameters) -> slashing.Parameters:
    """How reports are judged, and how long a panel may take to be drawn."""
    given = asdict(rules.slashing)
    kinds = ("timeout", "offline", "repeated_failures", "invalid_result", "forgery")
    return slashing.Parameters(bps=[given.pop(f"{kind}_bps") for kind in kinds], draw_seconds=DAY_S, **given)


def votes(rules: Parameters) -> governance.Parameters:
    """How proposals are decided."""
    return governance.Parameters(**asdict(rules.voting))
