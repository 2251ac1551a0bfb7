"""What the database itself refuses, whatever the code does: straight SQL against a job's rows and money."""

import asyncpg
import pytest

from fakes.network import Network

IMPOSSIBLE = asyncpg.IntegrityConstraintViolationError


@pytest.fixture
async def settled(net: Network) -> Network:
    """A network with one settled attempt and one that runs."""
    node = await net.node()
    await net.submit(array={"size": 2})
    leases = sorted([await net.start(node) for _ in range(2)], key=lambda lease: lease.lease.task)
    await net.age(10)
    assert (await node.report(leases[0])).code == ""
    return net


async def unchanged(net: Network, statement: str, error: type[Exception] | tuple[type[Exception], ...]) -> None:
    """The statement fails with this, and the ledger is what it was."""
    before = await net.admin.ledger()
    with pytest.raises(error):
        await net.pool.execute(statement)
    assert await net.admin.ledger() == before and before.consistent and before.total == 0


async def test_what_happened_cannot_be_changed(settled: Network) -> None:
    for statement in (
        "update transfer set amount = amount + 1",
        "update transfer set amount = amount",
        "delete from transfer",
        "delete from transfer where cause = 'hold'",
        "update settlement set price = 0",
        "delete from settlement",
    ):
        await unchanged(settled, statement, IMPOSSIBLE)
    partition = await settled.pool.fetchval("select tableoid::regclass::text from transfer limit 1")
    for statement in (f"update {partition} set amount = 1", f"delete from {partition}"):
        await unchanged(settled, statement, IMPOSSIBLE)
    for table in ("transfer", "settlement"):
        await unchanged(settled, f"truncate {table} cascade", IMPOSSIBLE)


async def test_balances_change_through_transfers_only(settled: Network) -> None:
    for statement in (
        "update account set balance = balance + 1",
        "update account set balance = 0 where kind = 'escrow'",
        "insert into account (kind, project_id, balance) select 'available', null, 5",
        "delete from account where kind = 'escrow'",
        "delete from account",
        "insert into account (kind) values ('treasury')",
        "insert into account (kind) values ('mint')",
        "insert into account (kind, balance) values ('issuance', 100)",
        "insert into account (id, kind, version) select id, kind, 7 from account where kind = 'treasury'",
        "update account set kind = 'issuance' where kind = 'escrow'",
        "update account set project_id = null where kind = 'escrow'",
        "update account set id = 99 where kind = 'escrow'",
        "truncate account",
        "update account_name set kind = 'issuance' where kind = 'escrow'",
        "delete from account_name",
        "truncate account_name cascade",
    ):
        await unchanged(settled, statement, (IMPOSSIBLE, asyncpg.RaiseError))


async def test_an_account_cannot_begin_with_money(settled: Network) -> None:
    project = await settled.pool.fetchval(
        "insert into project (id, name) values (gen_random_uuid(), 'rich') returning id"
    )
    await unchanged(
        settled, f"insert into account (kind, project_id, balance) values ('available', '{project}', 5)", IMPOSSIBLE
    )


async def test_no_balance_goes_below_zero(settled: Network) -> None:
    move = (
        "insert into transfer (debit, credit, amount, cause) select d.id, c.id, {amount}, 'x' from account d, account c"
    )
    for debit, credit in (("escrow", "treasury"), ("treasury", "escrow"), ("available", "issuance")):
        where = f" where d.kind = '{debit}' and c.kind = '{credit}' and d.balance < 2000000000 limit 1"
        await unchanged(settled, move.format(amount="2000000000") + where, IMPOSSIBLE)
    for amount in (0, -5):
        await unchanged(
            settled, move.format(amount=amount) + " where d.kind = 'issuance' and c.kind = 'treasury'", IMPOSSIBLE
        )
    await unchanged(settled, move.format(amount=1) + " where d.kind = 'issuance' and c.id = d.id", IMPOSSIBLE)
    await unchanged(
        settled, "insert into transfer (debit, credit, amount, cause) values (1, 999999, 5, 'x')", IMPOSSIBLE
    )
    await unchanged(
        settled, "insert into transfer (debit, credit, amount, cause) values (999999, 1, 5, 'x')", IMPOSSIBLE
    )


async def test_an_attempt_is_settled_once_and_a_task_accepted_once(settled: Network) -> None:
    for statement in (
        "insert into settlement select * from settlement",
        "insert into settlement select job_id, task, 99, node, price, billed_ms, body, node_signature, decision, "
        "coordinator_signature from settlement",
        "insert into attempt (job_id, task, epoch, node, state, deadline_at, rate, fixed, remaining_cap) "
        "select job_id, task, epoch + 1, node, 'accepted', deadline_at, rate, fixed, 0 from attempt "
        "where state = 'accepted'",
        "insert into attempt (job_id, task, epoch, node, state, deadline_at, rate, fixed, remaining_cap) "
        "select job_id, task, epoch + 1, node, 'leased', deadline_at, rate, fixed, 0 from attempt "
        "where state = 'leased'",
        "insert into attempt (job_id, task, epoch, node, state, deadline_at, rate, fixed, remaining_cap) "
        "select job_id, task, epoch, node, 'lost', deadline_at, rate, fixed, 0 from attempt "
        "where state = 'leased'",
    ):
        await unchanged(settled, statement, IMPOSSIBLE)


async def test_a_job_adds_up(settled: Network) -> None:
    for change in (
        "held = -1",
        "spent = -1",
        "spent = cap * size + 1",
        "succeeded = 3",
        "state = 'succeeded'",
        "state = 'succeeded', ended_at = now()",
        "ended_at = now()",
        "state = 'unknown'",
        "size = 0",
    ):
        await unchanged(settled, f"update job set {change}", IMPOSSIBLE)
    await unchanged(
        settled,
        "insert into queue (job_id, first, beyond, shape, remaining_cap) select id, 2, 2, 0, 0 from job",
        IMPOSSIBLE,
    )
    await unchanged(settled, "delete from job", IMPOSSIBLE)
    await unchanged(settled, "delete from node", IMPOSSIBLE)


async def test_transfers_move_both_sides_also_in_bulk(net: Network) -> None:
    await net.pool.execute(
        "insert into transfer (debit, credit, amount, cause) "
        "select d.id, c.id, n, 'deposit' from account d, account c, generate_series(1, 100) n "
        "where d.kind = 'issuance' and c.kind = 'treasury'"
    )
    summary = await net.admin.ledger()
    assert summary.balances["treasury"] == 5050 and summary.consistent and summary.total == 0
