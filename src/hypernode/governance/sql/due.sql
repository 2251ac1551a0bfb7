-- What time has brought further, oldest first: proposals and cases whose phase is over, and the next unlock.
(select 'proposal' as what, id from proposal where due_at <= $1 order by due_at, id limit $2)
union all
(select 'case', id from slashing_case where due_at <= $1 order by due_at, id limit $2)
union all
(select 'unlock', null from vesting where cycles < $3 and start_at + cycles * make_interval(secs => $4) <= $1)
