select a.task, a.epoch, a.node,
       case when a.state = 'leased' and a.started_at is not null then 'running' else a.state end as state,
       a.leased_at, a.started_at, a.ended_at, a.cause, a.detail,
       coalesce(s.price, 0) as price
from attempt a left join settlement s using (job_id, task, epoch)
where a.job_id = $1 and a.task = any($2::int[]) order by a.task, a.epoch
