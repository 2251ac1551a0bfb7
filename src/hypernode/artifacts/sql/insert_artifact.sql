-- $1 hash, $2 size, $3 project. The bytes are stored and this project has shown that it has them.
WITH stored AS (
    INSERT INTO artifact (sha256, size_bytes) VALUES ($1, $2)
    ON CONFLICT (sha256) DO NOTHING
)
INSERT INTO artifact_grant (project_id, sha256) VALUES ($3, $1)
ON CONFLICT (project_id, sha256) DO NOTHING
