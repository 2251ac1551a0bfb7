-- $1 ids.
DELETE FROM upload WHERE id = ANY($1::uuid[])
