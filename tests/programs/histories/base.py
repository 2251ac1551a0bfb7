"""What all steps share: the worlds, doing a thing in each, and what is equal after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant
from solders.instruction import Instruction
from solders.pubkey import Pubkey
from solders.token import ID as TOKEN

from programs.coder import idl
from programs.model import staking, unlock
from programs.model.escrow import TERMS, Split
from programs.model.refusal import Refusal
from programs.network import ALL, Job, Network, Operator
from programs.world import START, Refused, World

from .embedded import Embedded
from .refusals import code_of
from .state import FUNDS, OWNERS, PEOPLE, TREASURY, VAULTS, State, person

WHO = st.integers(0, 99)
"""Somebody; which one, the step decides."""
ANY = st.integers(0, 99)
"""One of several things there are."""


class Worlds(RuleBasedStateMachine):
    """The model's world, the chain's and, in machines that have one, the embedded room's; with the same people.

    Where there is a room, the chain is used as a careful client uses it: what the room does within one act follows
    there at once, by the instructions that anyone may send. Rewards are distributed in the very transaction that
    changes a weight or claims, dues of markets are swept when they arise, and what is to be burned is burned. Each act
    has a slot of its own, as it has a height of its own in the room, so that "the weight before" is the same.
    """

    embedded: Embedded | None = None

    def set_up(self) -> None:
        self.state = State()
        self.network = Network(ALL, vesting_start=START)
        self.world = world = self.network.world
        world.slots_a_second = 0  # one slot a wait, so that a round can be drawn long after it was asked for
        self.operators: list[Operator] = []
        """One for each stake; who owns two is two of them, with the same tokens."""
        payer = {"payer": world.payer.pubkey()}
        for number, whose in enumerate(OWNERS):
            if number < PEOPLE:
                owner = world.person()
                tokens = world.tokens(owner.pubkey(), FUNDS)
            else:
                owner, tokens = self.operators[whose].owner, self.operators[whose].tokens
            key, id = world.person(), self.id_of(number)
            world.send("staking", "open", world.payer, owner=owner.pubkey(), id=id, **payer)
            stake = world.address("staking", "stake", owner.pubkey(), id)
            world.send("nodes", "register", owner, key, owner=owner.pubkey(), key=key.pubkey(), capability=bytes(32))
            world.send("markets", "open_capacity", world.payer, stake=stake, **payer)
            world.send("rewards", "register", world.payer, stake=stake, **payer)
            node, capacity = (
                world.address("nodes", "node", key.pubkey()),
                world.address("markets", "capacity", stake),
            )
            self.operators.append(Operator(owner, key, tokens, stake, node, capacity))
        self.claims = [world.address("rewards", "claim", each.stake) for each in self.operators]
        self.decoded: dict[Pubkey, tuple[bytes, dict[str, Any]]] = {}
        self.network.market(**TERMS)
        world.pay(world.reserve, world.bank, world.named["treasury"], TREASURY)
        self.jobs: list[Job] = []
        self.cases: list[Pubkey] = []
        self.proposals: list[tuple[Pubkey, int, Instruction | None]] = []
        """Address, the stake it was made by, and the call it carries out."""
        self.registered = world.slot
        self.asking = True
        self.world.wait(0, slots=1)

    @staticmethod
    def id_of(stake: int) -> int:
        """The number of a stake among those of its owner."""
        return OWNERS[:stake].count(OWNERS[stake])

    def act(
        self,
        model: Callable[[State], object],
        chain: Callable[[], object],
        room: Callable[[Embedded], object] | None = None,
        *,
        stake: int | None = None,
        codes: Mapping[str, str | None] | None = None,
        instead: Mapping[str, str] | None = None,
    ) -> bool:
        """Do it in each world; they must say the same. Returns whether it was done.

        The room is not asked where it has no such act or no such refusal. `stake` is the one it is about, `codes` what
        the room says otherwise about such a record, `instead` the reason that the room looks at before the one the
        programs give, where both hold.
        """
        trial = self.state.copy()
        expected = actual = None
        try:
            model(trial)
        except Refusal as refusal:
            expected = refusal.name
        try:
            chain()
        except Refused as refused:
            actual = _name(self.world, refused)
        assert expected == actual, f"the model says {expected or 'yes'}, the chain {actual or 'yes'}"
        if self.embedded is not None:
            if room is not None and self.asking:
                reason = (instead or {}).get(expected or "", expected)
                staked = stake is None or bool(self.embedded.stakes[stake])
                meant = reason and code_of(reason, staked, codes or {})
                if meant or expected is None:
                    said = self.embedded.refusal(room)
                    assert said == meant, f"the model says {meant or 'yes'}, the room {said or 'yes'}"
            if room is not None or expected is None:
                self.world.wait(0, slots=1)
        if expected is None:
            self.state = trial
        return expected is None

    @contextmanager
    def left_to_duties(self) -> Iterator[None]:
        """What is done inside, the coordinator's duties do in the room, all of it and nothing else."""
        assert self.embedded is not None
        self.asking = False
        try:
            yield
        finally:
            self.asking = True
        self.embedded.keep()

    def distribution(self) -> list[Instruction]:
        """What comes before an act that changes a weight or claims: rewards that came in are shared out, unless there
        is nobody to share them out to."""
        if self.embedded is None or self.state.pool.weight == 0:
            return []
        return [self.world.instruction("rewards", "distribute")]

    def distribute_first(self, state: State) -> None:
        """The same in the model."""
        if self.distribution():
            state.distribute()

    def likely(self, who: int, suitable: Callable[[staking.Stake], bool]) -> int:
        """Mostly a stake that suits, so that histories go deep; now and then another."""
        those = [index for index, each in enumerate(self.state.stakes) if suitable(each)]
        return those[who % len(those)] if those and who % 5 else who % len(OWNERS)

    @property
    def now(self) -> int:
        return self.world.time

    @property
    def height(self) -> int:
        return self.world.slot

    @property
    def begun(self) -> bool:
        return hasattr(self, "operators") and len(self.operators) == len(OWNERS)

    @invariant()
    def balances_are_equal(self) -> None:
        if not self.begun:
            return
        chain = {name: self.world.balance(self.world.named[label]) for name, label in VAULTS.items()}
        chain |= {person(number): self.world.balance(self.operators[number].tokens) for number in range(PEOPLE)}
        assert chain == self.state.balances
        assert self.world.supply() == unlock.SUPPLY - self.state.burned

    def record(self, program: str, name: str, address: Pubkey) -> dict[str, Any]:
        """A record, decoded anew only if it has changed: a step leaves most of them as they are."""
        account = self.world.svm.get_account(address)
        data = account.data if account is not None else b""
        if self.decoded.get(address, (b"", {}))[0] != data:
            self.decoded[address] = data, self.world.record(program, name, address)
        return self.decoded[address][1]

    @invariant()
    def records_are_equal(self) -> None:
        if not self.begun:
            return
        pool = self.world.record("staking", "Pool", self.world.named["staking_pool"])
        for name in ("amount", "weight", "previous_weight"):
            assert pool[name] == getattr(self.state.pool, name)
        held = self.world.record("rewards", "Pool", self.world.named["rewards_pool"])
        for name in ("accumulator", "held", "distributed", "paid"):
            assert held[name] == getattr(self.state.rewards, name)
        for number, (each, stake) in enumerate(zip(self.operators, self.state.stakes, strict=True)):
            record = self.record("staking", "Stake", each.stake)
            names = ("amount", "weight", "previous_weight", "earned", "snapshot", "reports", "state")
            assert {name: record[name] for name in names} == {name: getattr(stake, name) for name in names}
            claim = self.record("rewards", "Claim", self.claims[number])
            assert claim["claimed"] == self.state.claimed[number]
        for address, case in zip(self.cases, self.state.cases, strict=True):
            assert self.record("slashing", "Case", address)["state"] == case.state
        for (address, _, _), proposal in zip(self.proposals, self.state.proposals, strict=True):
            record = self.record("governance", "Proposal", address)
            columns = ("state", "votes_for", "votes_against", "votes_abstain", "total_weight")
            assert {name: record[name] for name in columns} == {name: getattr(proposal, name) for name in columns}
        split = self.world.record("markets", "Config", self.world.named["markets.config"])["split"]
        assert Split(**split) == self.state.split
        burns = self.world.record("token", "BurnLedger", self.world.named["token.ledger"])
        assert (burns["count"], burns["cumulative"]) == (self.state.burns, self.state.burned)

    @invariant()
    def the_room_is_equal(self) -> None:
        if not self.begun or self.embedded is None:
            return
        state, shown = self.state, self.embedded.show()
        # Nothing waits on chain to be swept or burned, so the market's vault holds escrows and nothing else.
        assert not any(state.due.values())
        balances, held = dict(state.balances), state.escrows()
        assert balances.pop("collection") == 0
        assert balances.pop("market") == sum(held)
        balances |= {f"escrow {number}": amount for number, amount in enumerate(held)} | {"burned": state.burned}
        assert shown.balances == balances | {"issuance": -sum(balances.values())}
        assert shown.sums == {
            "staked": state.pool.amount, "weight": state.pool.weight, "accumulator": state.rewards.accumulator,
            "held": state.rewards.held, "distributed": state.rewards.distributed, "paid": state.rewards.paid,
            "burns": state.burns, "cycles": state.cycles,
        }  # fmt: skip
        for number, record in shown.stakes.items():
            stake = state.stakes[number]
            names = ("amount", "weight", "previous_weight", "earned", "snapshot", "reports")
            assert {name: record[name] for name in names} == {name: getattr(stake, name) for name in names}
            assert (record["state"], record["claimed"]) == (stake.state.lower(), state.claimed[number])
        for record, case in zip(shown.cases, state.cases, strict=True):
            assert (record["state"], record["round"], record["bps"]) == (case.state.lower(), case.round, case.bps)
        for record, proposal in zip(shown.proposals, state.proposals, strict=True):
            columns = ("votes_for", "votes_against", "votes_abstain", "total_weight")
            assert {name: record[name] for name in columns} == {name: getattr(proposal, name) for name in columns}
            assert record["state"] == proposal.state.lower()


def _name(world: World, refused: Refused) -> str:
    """The error's name, by the program that failed first, which may be one that the called one called; the token
    program's own 1 says that funds do not suffice."""
    failed = next(line.split()[1] for line in refused.logs if " failed: " in line)
    name = next((name for name, key in world.ids.items() if str(key) == failed), None)
    if name is None:
        assert (failed, refused.code) == (str(TOKEN), 1), str(refused)
        return "InsufficientFunds"
    return str(idl(name).errors[refused.code or 0]["name"])
