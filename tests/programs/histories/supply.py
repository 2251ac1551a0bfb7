"""What comes free, and what is burned."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from programs.model import unlock
from programs.world import DAY, HYPER, START

from .base import WHO, Worlds
from .state import PEOPLE, State, person


class Supply(Worlds):
    """What comes free, and what is burned."""

    @precondition(lambda self: self.now >= START + self.state.cycles * 30 * DAY or self.now % 7 == 0)
    @rule()
    def unlock(self) -> None:
        def model(state: State) -> None:
            due = unlock.unlock(state.cycles, START, self.now)
            state.cycles += 1
            state.move("vesting", "rewards", due.stakers)
            state.move("vesting", "operations", due.operations)
            state.burn("vesting", due.burned)

        payer, cycle = self.world.payer, self.state.cycles
        self.act(
            model,
            lambda: self.world.send("token", "unlock", payer, payer=payer.pubkey(), cycle=cycle),
            lambda room: room.unlock(),
        )

    @rule(who=WHO, amount=st.sampled_from([1, HYPER, 2_999_999 * HYPER]))
    def burn(self, who: int, amount: int) -> None:
        who %= PEOPLE
        each, id = self.operators[who], self.world.random.getrandbits(64)
        self.act(
            lambda state: state.burn(person(who), amount),
            lambda: self.world.send(
                "token", "burn_tokens", each.owner, id=id, holder=each.owner.pubkey(), source=each.tokens,
                amount=amount, reference=bytes(32),
            ),
            lambda room: room.burn(who, amount),
        )  # fmt: skip
