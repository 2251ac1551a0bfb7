-- $1 ids. Those that have a row.
SELECT id FROM upload WHERE id = ANY($1::uuid[])
