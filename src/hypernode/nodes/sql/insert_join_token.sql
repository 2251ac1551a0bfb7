insert into join_token (secret_hash, project_id, expires_at)
values ($1, $2, clock_timestamp() + make_interval(secs => $3)) returning expires_at
