select * from stake where id = $1
