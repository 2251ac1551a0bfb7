select id, kind, balance from account_balance where project_id = $1
