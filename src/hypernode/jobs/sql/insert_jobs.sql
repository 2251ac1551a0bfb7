-- A few new jobs, each with its ready work: one range, however large the array.
with fresh as (
    select * from unnest($1::uuid[], $2::uuid[], $3::bytea[], $4::text[], $5::bytea[], $6::int[], $7::bigint[],
                         $8::bigint[], $9::float8[], $10::timestamptz[], $11::bigint[], $12::timestamptz[])
        as t(id, project_id, content_id, name, labels, size, cap, held, turn_s, submitted_at, shape, turn_at)
),
made as (
    insert into job (id, project_id, content_id, name, labels, size, cap, held, turn_s, submitted_at)
    select id, project_id, content_id, name, convert_from(labels, 'UTF8')::jsonb, size, cap, held, turn_s, submitted_at
    from fresh
)
insert into queue (job_id, first, beyond, ready_at, shape, remaining_cap, project_id, turn_at)
select id, 0, size, submitted_at, shape, cap, project_id, turn_at from fresh
