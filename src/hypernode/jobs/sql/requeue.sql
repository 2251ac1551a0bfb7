-- Tasks that will be tried again, each a range of one, ready after its backoff.
insert into queue (job_id, first, beyond, ready_at, shape, remaining_cap)
select job_id, task, task + 1, clock_timestamp() + make_interval(secs => delay_ms / 1000.0), shape, remaining_cap
from unnest($1::uuid[], $2::int[], $3::bigint[], $4::bigint[], $5::bigint[]) as t(job_id, task, delay_ms, shape, remaining_cap)
