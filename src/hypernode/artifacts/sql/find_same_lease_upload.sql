-- $1 project, $2 hash, $3 size, $4 job, $5 task, $6 epoch. The open upload of the same bytes by the same attempt.
SELECT id, project_id, sha256, size_bytes, job_id, task, epoch, false AS complete
FROM upload
WHERE job_id = $4 AND task = $5 AND epoch = $6 AND project_id = $1 AND sha256 = $2 AND size_bytes = $3
ORDER BY id
LIMIT 1
