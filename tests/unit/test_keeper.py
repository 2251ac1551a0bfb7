"""What a coordinator does each second about leases, with a database that goes away. The statements run in the
integration tests."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import asyncpg
import pytest

from hypernode.coordinator.keeper import SWEEP_ALL_S, Keeper
from hypernode.coordinator.settings import Settings


class Database:
    """Renews and lists while it is there; what it is asked is kept in order."""

    def __init__(self) -> None:
        self.away = False
        self.asked: list[str] = []

    async def tick(self, _: UUID) -> None:
        if self.away:
            raise asyncpg.ConnectionDoesNotExistError("gone")

    async def renew(self, heard: list[tuple[str, UUID]], _: int) -> set[str]:
        if self.away:
            raise asyncpg.ConnectionDoesNotExistError("gone")
        self.asked.append("renew " + ",".join(node for node, _ in heard))
        return {node for node, _ in heard}

    async def overdue(self) -> list[Any]:
        self.asked.append("overdue")
        return []


class Connected(dict[str, Any]):
    def __iter__(self) -> Any:
        return iter(self.values())


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    at = [1000.0]
    monkeypatch.setattr("hypernode.coordinator.keeper.time", SimpleNamespace(monotonic=lambda: at[0]))
    return at


async def test_nobody_is_judged_before_those_heard_of_are_renewed(tmp_path: Path, now: list[float]) -> None:
    database = Database()
    session = SimpleNamespace(node="n", id=UUID(int=1), heard=True, heard_at=now[0], unheard=False, closing=None)
    sessions = Connected(n=session)
    keeper = Keeper(
        Settings(data=tmp_path),
        UUID(int=9),
        *cast("Any", (None, None, database, database, None, None, None, sessions)),
    )
    await keeper._sweep()
    assert database.asked == []  # a coordinator that has just started has renewed nothing yet
    await keeper._renew()
    await keeper._sweep()
    assert database.asked == ["renew n", "overdue"]

    database.away, session.heard = True, True
    for _ in range(10):
        now[0] += 1
        session.heard_at = now[0]
        with pytest.raises(asyncpg.ConnectionDoesNotExistError):
            await keeper._renew()
    assert session.heard  # the sign of life is not forgotten
    database.away = False
    await keeper._sweep()
    assert database.asked == ["renew n", "overdue"]
    await keeper._renew()
    await keeper._sweep()
    assert database.asked == ["renew n", "overdue", "renew n", "overdue"]


async def test_a_look_at_all_attempts_that_takes_long_is_taken_less_often(tmp_path: Path, now: list[float]) -> None:
    class Slow(Database):
        took = 0.5

        async def overdue(self) -> list[Any]:
            now[0] += self.took
            return await super().overdue()

        async def lapsed(self, within_s: float) -> list[Any]:
            assert within_s > SWEEP_ALL_S
            self.asked.append("lapsed")
            return []

    database = Slow()
    keeper = Keeper(
        Settings(data=tmp_path),
        UUID(int=9),
        *cast("Any", (None, None, database, database, None, None, None, Connected())),
    )

    async def sweep(seconds: int) -> tuple[int, int]:
        database.asked.clear()
        for _ in range(seconds):
            await keeper._renew()
            await keeper._sweep()
            now[0] += 1
        return database.asked.count("overdue"), database.asked.count("lapsed")

    assert await sweep(100) == (4, 96)  # half a second is a fiftieth of 25
    database.took = 600.0
    assert await sweep(240) == (4, 236)  # but once a minute it is taken all the same
    database.took = 0.01
    await sweep(60)
    assert await sweep(60) == (60, 0)
