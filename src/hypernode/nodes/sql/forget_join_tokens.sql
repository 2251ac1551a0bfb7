delete from join_token where expires_at < clock_timestamp() - interval '7 days'
