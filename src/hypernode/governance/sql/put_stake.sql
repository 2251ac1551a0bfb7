-- Owner, lock and days of a stake never change.
insert into stake (id, owner, days, locked_at, state, amount, weight, weight_height, previous_weight, previous_height, earned,
                   snapshot, claimed, reports, free_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
on conflict (id) do update
set state = excluded.state, amount = excluded.amount, weight = excluded.weight, weight_height = excluded.weight_height,
    previous_weight = excluded.previous_weight, previous_height = excluded.previous_height, earned = excluded.earned,
    snapshot = excluded.snapshot, claimed = excluded.claimed, reports = excluded.reports, free_at = excluded.free_at
