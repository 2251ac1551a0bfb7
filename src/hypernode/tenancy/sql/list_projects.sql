select p.id, p.name, p.created_at, available.balance as available, escrow.balance as escrow
from project p
join account_name a on a.project_id = p.id and a.kind = 'available'
join account_name e on e.project_id = p.id and e.kind = 'escrow'
cross join lateral (select balance from account where id = a.id order by version desc limit 1) available
cross join lateral (select balance from account where id = e.id order by version desc limit 1) escrow
order by p.name
