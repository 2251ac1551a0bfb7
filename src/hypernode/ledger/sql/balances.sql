-- The accounts of a project, each by its newest version.
select n.id, n.kind, a.balance
from account_name n
cross join lateral (select balance from account where id = n.id order by version desc limit 1) a
where n.project_id = $1
