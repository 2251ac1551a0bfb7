-- Ids of all accounts of some projects, and of the accounts that belong to nobody.
select id, kind, project_id from account_name where project_id = any($1::uuid[])
union all
select id, kind, project_id from account_name where project_id is null
