-- What some projects can spend, locked in the order of account ids until the transaction ends.
select a.id, a.project_id, a.balance, now() as at
from (
    select id from account_name where project_id = any($1::uuid[]) and kind = 'available' order by id
) n cross join lateral (
    select id, project_id, balance from account where id = n.id order by version desc limit 1 for no key update
) a
