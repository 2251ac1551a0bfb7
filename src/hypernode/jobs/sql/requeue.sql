-- Tasks that will be tried again, each a range of one, ready after its backoff, in the turn of their job: $6 seconds before
-- the rest of it.
insert into queue (job_id, first, beyond, ready_at, shape, remaining_cap, project_id, turn_at)
select t.job_id, t.task, t.task + 1, clock_timestamp() + make_interval(secs => t.delay_ms / 1000.0), t.shape, t.remaining_cap,
       j.project_id, j.submitted_at + make_interval(secs => j.turn_s - $6::float8)
from unnest($1::uuid[], $2::int[], $3::bigint[], $4::bigint[], $5::bigint[]) as t(job_id, task, delay_ms, shape, remaining_cap)
join job j on j.id = t.job_id
