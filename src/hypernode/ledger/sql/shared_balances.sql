-- Balances of the accounts that belong to nobody.
select kind, balance from account_balance where project_id is null
