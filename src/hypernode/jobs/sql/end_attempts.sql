-- Attempts end. (`ended_at is null` rather than the state: see mark_running.)
update attempt a set state = e.state, ended_at = clock_timestamp(), cause = e.cause, detail = e.detail
from unnest($1::uuid[], $2::int[], $3::int[], $4::text[], $5::text[], $6::text[])
    as e(job_id, task, epoch, state, cause, detail)
where a.job_id = e.job_id and a.task = e.task and a.epoch = e.epoch and a.ended_at is null
