-- $1 id, $2 project, $3 hash, $4 size, $5 job, $6 task, $7 epoch.
INSERT INTO upload (id, project_id, sha256, size_bytes, job_id, task, epoch)
VALUES ($1, $2, $3, $4, $5, $6, $7)
