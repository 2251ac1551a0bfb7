select exists (select from project where id = $1)
