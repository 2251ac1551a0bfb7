-- What some projects can spend, locked in the order of account ids until the transaction ends.
select id, project_id, balance, now() as at from account
where project_id = any($1::uuid[]) and kind = 'available' order by id for no key update
