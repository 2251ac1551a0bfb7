"""All programs on a local chain, set up and ready, with the keys of everybody who has a say in them.

Ids and keys are generated and kept in a file of the developer's, so that they stay the same from one start to the next.
They are worth nothing; what holds worth is never set up so.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Self

import msgspec
from solders.instruction import Instruction
from solders.pubkey import Pubkey
from solders.sysvar import CLOCK

from hypernode.chain.local.settings import LAMPORTS_PER_SOL, Program
from hypernode.chain.programs import bundle
from hypernode.chain.programs.bundle import NAMES
from hypernode.chain.programs.deployment import DECIMALS, SUPPLY, TERMS, Roles, derived, initializations
from hypernode.chain.programs.network import Addresses, Network
from hypernode.chain.programs.typed import markets
from hypernode.chain.solana import tokens
from hypernode.chain.solana.errors import RpcAnswerInvalid
from hypernode.chain.solana.sending import Pace
from hypernode.chain.solana.transactions import address
from hypernode.files import write_private
from hypernode.governance.parameters import DAY_S
from hypernode.kernel.errors import InvalidInput
from hypernode.kernel.keys import KeyPair

FILE_BYTES: Final = 64 * 1024
VERIFIERS: Final = 3
_VESTING_STARTS_AFTER_S: Final = 30 * DAY_S
_DEPLOYER_LAMPORTS: Final = 100_000 * LAMPORTS_PER_SOL
_PACE: Final = Pace(resend_s=1.0, poll_s=0.02, patience_s=60.0)
_SETTLED_SLOTS: Final = 150
"""More than any local chain takes to finality."""

Seed = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
"""The 32 bytes of a private key, in hex."""


class LocalNetwork(Addresses, frozen=True, kw_only=True):
    """A deployment with its keys. The deployer has the market, the programs' upgrade authority and the HYPER that are
    not locked; `incentive` and `operations` hold the token accounts of those names, governance the treasury."""

    deployer: Seed
    mint_key: Seed
    incentive: Seed
    operations: Seed
    verifiers: Annotated[tuple[Seed, ...], msgspec.Meta(min_length=1, max_length=16)]

    @classmethod
    def generate(cls) -> Self:
        """New ids and keys."""
        programs: dict[str, str] = {name: KeyPair.generate().public for name in NAMES}
        deployer, mint = KeyPair.generate(), KeyPair.generate()
        markets = Pubkey.from_string(programs["markets"])
        return cls(
            programs=programs,
            mint=mint.public,
            market=str(derived(markets, b"market", bytes(address(deployer)), bytes(8))),
            deployer=deployer.seed.hex(),
            mint_key=mint.seed.hex(),
            incentive=KeyPair.generate().seed.hex(),
            operations=KeyPair.generate().seed.hex(),
            verifiers=tuple(KeyPair.generate().seed.hex() for _ in range(VERIFIERS)),
        )

    @classmethod
    def read(cls, path: Path) -> Self:
        """The one that a file holds. Raises InvalidInput."""
        try:
            with path.open("rb") as file:
                data = file.read(FILE_BYTES + 1)
            if len(data) > FILE_BYTES:
                raise InvalidInput(f"{path} is longer than {FILE_BYTES} bytes, so it holds no network")
            found = msgspec.json.decode(data, type=cls)
        except OSError as error:
            raise InvalidInput(f"cannot read {path}: {error.strerror}") from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InvalidInput(f"{path} holds no network: {error}; name another file") from error
        bundle.programs(found.programs)  # refuses what is not all of them
        return found

    @classmethod
    def kept(cls, path: Path) -> Self:
        """The one that a file holds, or a new one, which then is kept there. Raises InvalidInput."""
        if path.exists():
            return cls.read(path)
        made = cls.generate()
        try:
            write_private(path, msgspec.json.format(msgspec.json.encode(made), indent=2) + b"\n")
        except OSError as error:
            raise InvalidInput(f"cannot write {path}: {error.strerror}") from error
        return made

    def placed(self) -> tuple[Program, ...]:
        """The programs, for the settings of a local chain."""
        authority = key(self.deployer).public
        return tuple(Program(self.programs[name], bundle.IMAGES / f"{name}.so", authority) for name in NAMES)


def key(seed: Seed) -> KeyPair:
    """The key pair of a seed in the file."""
    return KeyPair(bytes.fromhex(seed))


async def set_up(local: LocalNetwork, url: str) -> None:
    """Mint HYPER, initialize every program and make the market, as far as that is not done on this chain, and let the
    chain finalize it. Each step is one transaction, so that whatever was cut off is taken up again."""
    deployer, mint = key(local.deployer), key(local.mint_key)
    # There are no forks here, and nobody is asked but the chain itself.
    async with Network(local, [url], commitment="processed", pace=_PACE) as network:
        client, payer = network.client, address(deployer)
        if await client.balance(payer) < _DEPLOYER_LAMPORTS // 2:
            await _airdrop(network, payer, _DEPLOYER_LAMPORTS)
        if await client.account(network.mint) is None:
            rent = await client.call("getMinimumBalanceForRentExemption", [tokens.MINT_BYTES], int)
            made = tokens.final_mint(payer, network.mint, lamports=rent, decimals=DECIMALS, supply=SUPPLY)
            await client.send_and_confirm(made, [deployer, mint])
        roles = await _roles(local, network, payer)
        await client.send_and_confirm(_places(local, network, payer), [deployer])
        ids: dict[str, Pubkey] = {name: program.address for name, program in network.programs.items()}
        for step in initializations(ids, roles):
            if await client.account(step.makes) is None:
                begun = await network.instruction(step.call, step.accounts, step.more)
                await client.send_and_confirm([begun], [deployer])
        if await client.account(network.market) is None:
            call = markets.create_market(id=0, terms=TERMS)
            await network.send(call, [deployer], {"authority": deployer.public})
        await client.call("hypernode_warp", [{"slots": _SETTLED_SLOTS}], dict)


async def fund(local: LocalNetwork, network: Network, holder: KeyPair, *, hyper: int, sol: int = 10) -> None:
    """Give somebody lamports for fees, so many whole SOL, and HYPER of the deployer's, in µHYPER."""
    who, deployer = address(holder), key(local.deployer)
    source = network.place_of(address(deployer))
    made = [
        tokens.open_place(address(deployer), who, network.mint),
        tokens.transfer(source, network.place_of(who), address(deployer), hyper),
    ]
    await _airdrop(network, who, sol * LAMPORTS_PER_SOL)
    await network.client.send_and_confirm(made, [deployer])


async def _airdrop(network: Network, who: Pubkey, lamports: int) -> None:
    await network.client.call("requestAirdrop", [str(who), lamports, {"commitment": "processed"}], str)


async def _roles(local: LocalNetwork, network: Network, deployer: Pubkey) -> Roles:
    governance, slashing = network.programs["governance"], network.programs["slashing"]
    authority = governance.derived(b"authority")
    return Roles(
        deployer=deployer,
        mint=network.mint,
        source=network.place_of(deployer),
        treasury=network.place_of(authority),
        incentive=network.place_of(address(key(local.incentive))),
        operations=network.place_of(address(key(local.operations))),
        verifiers=tuple(address(key(seed)) for seed in local.verifiers),
        vesting_starts_at=await _unix_time(network) + _VESTING_STARTS_AFTER_S,
        authority=authority,
        slasher=slashing.derived(b"authority"),
        slashed=slashing.derived(b"vault"),
    )


def _places(local: LocalNetwork, network: Network, payer: Pubkey) -> list[Instruction]:
    authority = network.programs["governance"].derived(b"authority")
    holders = [authority, *(address(key(seed)) for seed in (local.incentive, local.operations))]
    return [tokens.open_place(payer, holder, network.mint) for holder in holders]


async def _unix_time(network: Network) -> int:
    """Of the clock that programs see (Clock of Agave: the last of five words)."""
    found: Any = await network.client.account(CLOCK)
    if found is None or len(found.data) != 40:
        raise RpcAnswerInvalid("the chain has no clock")
    return int.from_bytes(found.data[32:], "little", signed=True)
