-- $1 hashes. Those that have a row.
SELECT sha256 FROM artifact WHERE sha256 = ANY($1::bytea[])
