-- Every transition is an event with its cause.
insert into event (project_id, kind, job_id, task, epoch, node, data)
select * from unnest($1::uuid[], $2::text[], $3::uuid[], $4::int[], $5::int[], $6::text[], $7::bytea[])
