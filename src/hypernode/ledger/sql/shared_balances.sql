-- Balances of the accounts that belong to nobody.
select kind, balance from account where project_id is null
