-- $1 project. Uploads of a project end with their row, so all rows are open ones.
SELECT count(*) FROM upload WHERE project_id = $1 AND job_id IS NULL
