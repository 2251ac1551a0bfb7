select p.name,
       (select balance from account_balance where project_id = p.id and kind = 'available') as available,
       (select balance from account_balance where project_id = p.id and kind = 'escrow') as escrow,
       (select coalesce(sum(e.amount), 0)::bigint
        from node cross join lateral (select amount from earning where node = key order by version desc limit 1) e
        where project_id = p.id) as earned,
       (select coalesce(sum(spent), 0)::bigint from job where project_id = p.id) as spent
from project p where p.id = $1
