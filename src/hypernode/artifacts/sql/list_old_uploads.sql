-- $1 seconds, $2 after this id, $3 at most. Uploads begun longer ago than that, by the database's clock.
SELECT id
FROM upload
WHERE id > $2 AND created_at < clock_timestamp() - make_interval(secs => $1)
ORDER BY id
LIMIT $3
