-- $1 job, $2 task, $3 epoch. Bytes an attempt has announced; its rows stay when they are complete, to be counted here.
SELECT coalesce(sum(size_bytes), 0)::bigint AS bytes, count(*) AS uploads
FROM upload
WHERE job_id = $1 AND task = $2 AND epoch = $3
