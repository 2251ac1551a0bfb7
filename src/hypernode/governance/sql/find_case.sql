select * from slashing_case where id = $1
