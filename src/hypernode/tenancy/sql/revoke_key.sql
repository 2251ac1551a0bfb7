update api_key set revoked_at = clock_timestamp() where handle = $1 and revoked_at is null returning handle
