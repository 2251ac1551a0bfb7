-- No row comes back if vesting has begun before.
insert into vesting (start_at, cycles, left_amount) values ($1, 0, $2) on conflict do nothing returning 1
