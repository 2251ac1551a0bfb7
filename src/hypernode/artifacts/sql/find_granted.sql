-- $1 project, $2 hashes. Those of the artifacts that the project may read.
SELECT a.sha256, a.size_bytes
FROM artifact_grant AS g
JOIN artifact AS a USING (sha256)
WHERE g.project_id = $1 AND g.sha256 = ANY($2::bytea[])
