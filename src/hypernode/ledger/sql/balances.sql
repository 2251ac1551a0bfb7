select id, kind, balance from account where project_id = $1
