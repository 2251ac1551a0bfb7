-- $1 upload. Complete once its project has the artifact, from whichever upload.
SELECT
    u.id, u.project_id, u.sha256, u.size_bytes, u.job_id, u.task, u.epoch,
    EXISTS (SELECT FROM artifact_grant AS g WHERE g.project_id = u.project_id AND g.sha256 = u.sha256) AS complete
FROM upload AS u
WHERE u.id = $1
