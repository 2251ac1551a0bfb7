insert into idempotency (project_id, key, fingerprint, resource, answer)
select * from unnest($1::uuid[], $2::text[], $3::bytea[], $4::uuid[], $5::bytea[])
