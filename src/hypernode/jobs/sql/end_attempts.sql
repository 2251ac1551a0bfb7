-- Attempts end, and their tasks go where the decisions say. (`ended_at is null` rather than the state: see mark_running.)
with ending as materialized (
    select * from unnest($1::uuid[], $2::int[], $3::int[], $4::text[], $5::text[], $6::text[],
                         $7::text[], $8::int[], $9::int[], $10::bigint[])
        as e(job_id, task, epoch, state, cause, detail, task_state, infrastructure_failures, job_failures, spent)
),
attempts as (
    update attempt a set state = e.state, ended_at = clock_timestamp(), cause = e.cause, detail = e.detail
    from ending e
    where a.job_id = e.job_id and a.task = e.task and a.epoch = e.epoch and a.ended_at is null
    returning 1
),
tasks as (
    update task t set state = e.task_state, infrastructure_failures = e.infrastructure_failures,
        job_failures = e.job_failures, spent = e.spent
    from ending e
    where t.job_id = e.job_id and t.index = e.task and t.epoch = e.epoch
    returning 1
)
select (select count(*) from attempts) as attempts, (select count(*) from tasks) as tasks
