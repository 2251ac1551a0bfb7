-- $1 project, $2 hash, $3 size. The open upload of the same bytes by the project itself.
SELECT id, project_id, sha256, size_bytes, job_id, task, epoch, false AS complete
FROM upload
WHERE project_id = $1 AND job_id IS NULL AND sha256 = $2 AND size_bytes = $3
ORDER BY id
LIMIT 1
