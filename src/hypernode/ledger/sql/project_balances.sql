select kind, sum(balance)::bigint as balance from account where project_id is not null group by kind
