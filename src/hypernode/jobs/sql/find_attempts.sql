-- Attempts with everything a decision about their end needs. `evidence_ms` is how long the coordinators saw the node
-- alive with the task running: since its start, less the gaps in the node's signs of life beyond what is allowed.
select t.job_id, t.index as task, a.epoch, t.epoch as current_epoch, t.state as task_state, a.state as attempt_state,
       a.node, n.project_id as operator, a.rate, a.fixed, a.remaining_cap,
       t.infrastructure_failures, t.job_failures, t.spent,
       case when a.started_at is null then 0 else greatest(0,
           (extract(epoch from clock_timestamp() - a.started_at) * 1000)::bigint
           - (l.gap_ms - a.gap_ms)
           - greatest(0, (extract(epoch from clock_timestamp() - l.last_seen_at) * 1000)::bigint - $4)
       ) end as evidence_ms
from unnest($1::uuid[], $2::int[], $3::int[]) as w(job_id, task, epoch)
join attempt a on a.job_id = w.job_id and a.task = w.task and a.epoch = w.epoch
join task t on t.job_id = a.job_id and t.index = a.task
join node n on n.key = a.node
join node_life l on l.node = a.node
