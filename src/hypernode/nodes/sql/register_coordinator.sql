insert into coordinator (id, key) values ($1, $2)
