select id, name from project where name = $1
