-- What is proposed never changes; how far it is does, and with its activation the rules it is voted by.
insert into proposal (id, proposer, kind, title, payload, rules, created_at, state, activated_at, activated_height, total_weight,
                      votes_for, votes_against, votes_abstain, queued_at, due_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
on conflict (id) do update
set state = excluded.state, rules = excluded.rules, activated_at = excluded.activated_at, activated_height = excluded.activated_height,
    total_weight = excluded.total_weight, votes_for = excluded.votes_for, votes_against = excluded.votes_against,
    votes_abstain = excluded.votes_abstain, queued_at = excluded.queued_at, due_at = excluded.due_at
