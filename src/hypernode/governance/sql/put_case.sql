-- What was reported never changes; how far the case is does.
insert into slashing_case (id, reporter, stake_id, accused, kind, evidence, bps, rules, reported_at, reported_height, bond, state,
                           round, drawn_at, drawn_height, height_hash, confirmed_at, panel, first, due_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)
on conflict (id) do update
set bond = excluded.bond, state = excluded.state, round = excluded.round, drawn_at = excluded.drawn_at,
    drawn_height = excluded.drawn_height, height_hash = excluded.height_hash, confirmed_at = excluded.confirmed_at,
    panel = excluded.panel, first = excluded.first, due_at = excluded.due_at
