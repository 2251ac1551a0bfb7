-- No row comes back if the stake has voted before.
insert into vote (proposal_id, stake_id, voter, weight, choice, at) values ($1, $2, $3, $4, $5, $6)
on conflict do nothing returning 1
