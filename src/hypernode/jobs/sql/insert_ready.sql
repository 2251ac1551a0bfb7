-- Ready work: one range a job, however large the array.
insert into queue (job_id, first, beyond, ready_at, shape, remaining_cap, project_id, turn_at)
select * from unnest($1::uuid[], $2::int[], $3::int[], $4::timestamptz[], $5::bigint[], $6::bigint[], $7::uuid[],
                     $8::timestamptz[])
returning id, job_id
