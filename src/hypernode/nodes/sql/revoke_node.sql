update node set revoked_at = coalesce(revoked_at, clock_timestamp()) where key = $1 and project_id = $2 returning key
