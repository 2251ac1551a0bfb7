select p.id, p.name, p.created_at, a.balance as available, e.balance as escrow
from project p
join account_balance a on a.project_id = p.id and a.kind = 'available'
join account_balance e on e.project_id = p.id and e.kind = 'escrow'
order by p.name
