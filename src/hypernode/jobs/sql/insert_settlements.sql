insert into settlement (job_id, task, epoch, node, price, billed_ms, body, node_signature, decision, coordinator_signature)
select * from unnest($1::uuid[], $2::int[], $3::int[], $4::text[], $5::bigint[], $6::bigint[], $7::bytea[], $8::bytea[], $9::bytea[], $10::bytea[])
