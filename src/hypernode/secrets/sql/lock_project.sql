-- Until the transaction ends, no other one adds to this project's secrets: counting and adding must not interleave.
select pg_advisory_xact_lock(hashtextextended('secrets of ' || $1::uuid::text, 0))
