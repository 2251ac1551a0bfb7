-- Lease tasks: the row of a task is made or moved on, and its epoch counts up. The time is that of the leases.
with tasks as (
    insert into task (job_id, index, state, epoch)
    select job_id, task, 'leased', 1 from unnest($1::uuid[], $2::int[]) as t(job_id, task)
    on conflict (job_id, index) do update set state = 'leased', epoch = task.epoch + 1 where task.state = 'queued'
    returning job_id, index, epoch
),
jobs as (
    update job set started = true, state = 'running' where id in (select job_id from tasks) and not started
)
select job_id, index as task, epoch, now() as at from tasks
