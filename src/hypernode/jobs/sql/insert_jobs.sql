-- Jobs and their ready work: one range each, however large the array.
with fresh as (
    select * from unnest($1::uuid[], $2::uuid[], $3::bytea[], $4::text[], $5::bytea[], $6::bytea[], $7::int[], $8::bigint[], $9::bigint[])
        as t(id, project_id, content_id, name, document, labels, size, cap, shape)
),
jobs as (
    insert into job (id, project_id, content_id, name, document, labels, size, cap, held)
    select id, project_id, content_id, name, document, convert_from(labels, 'UTF8')::jsonb, size, cap, cap * size from fresh
    returning id, submitted_at
),
ready as (
    insert into queue (job_id, first, beyond, shape, remaining_cap) select id, 0, size, shape, cap from fresh
)
select id, submitted_at from jobs
