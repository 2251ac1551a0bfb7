insert into attempt (job_id, task, epoch, node, state, leased_at, deadline_at, rate, fixed, remaining_cap)
select * from unnest($1::uuid[], $2::int[], $3::int[], $4::text[], $5::text[], $6::timestamptz[], $7::timestamptz[],
                     $8::bigint[], $9::bigint[], $10::bigint[])
