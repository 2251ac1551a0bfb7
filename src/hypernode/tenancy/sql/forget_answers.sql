delete from idempotency where created_at < clock_timestamp() - make_interval(secs => $1)
