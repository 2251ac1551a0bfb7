-- Lease tasks: the row of a task is made or moved on, its epoch counts up, and the attempt begins.
with granted as (
    select * from unnest($1::uuid[], $2::int[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
        as t(job_id, task, node, rate, fixed, remaining_cap, deadline_ms)
),
tasks as (
    insert into task (job_id, index, state, epoch) select job_id, task, 'leased', 1 from granted
    on conflict (job_id, index) do update set state = 'leased', epoch = task.epoch + 1 where task.state = 'queued'
    returning job_id, index, epoch
),
jobs as (
    update job set started = true, state = 'running'
    where id in (select job_id from tasks) and not started
)
insert into attempt (job_id, task, epoch, node, state, deadline_at, rate, fixed, remaining_cap)
select g.job_id, g.task, t.epoch, g.node, 'leased',
       clock_timestamp() + make_interval(secs => g.deadline_ms / 1000.0), g.rate, g.fixed, g.remaining_cap
from granted g join tasks t on t.job_id = g.job_id and t.index = g.task
returning job_id, task, epoch
