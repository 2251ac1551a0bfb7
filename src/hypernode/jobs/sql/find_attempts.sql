-- Attempts with everything a decision about their end needs. `evidence_ms` is how long the coordinators saw the node
-- alive with the task running: since its start, less the gaps in the node's signs of life beyond what is allowed.
-- Nodes are those that speak ($5), looked up once each: their rows change all the time, and while some old transaction
-- keeps vacuum away, each look walks through all that they were. (`|| ''` since the planner would go through all
-- attempts of a node, for which there is an index, while each of those wanted has its key.)
with speaker as materialized (
    select n.key, n.project_id, l.gap_ms, l.last_seen_at
    from node n join node_life l on l.node = n.key where n.key = any($5::text[])
)
select t.job_id, t.index as task, a.epoch, t.epoch as current_epoch, t.state as task_state, a.state as attempt_state,
       a.node, s.project_id as operator, a.rate, a.fixed, a.remaining_cap,
       t.infrastructure_failures, t.job_failures, t.spent,
       case when a.started_at is null then 0 else greatest(0,
           (extract(epoch from clock_timestamp() - a.started_at) * 1000)::bigint
           - (s.gap_ms - a.gap_ms)
           - greatest(0, (extract(epoch from clock_timestamp() - s.last_seen_at) * 1000)::bigint - $4)
       ) end as evidence_ms
from unnest($1::uuid[], $2::int[], $3::int[]) as w(job_id, task, epoch)
join attempt a on a.job_id = w.job_id and a.task = w.task and a.epoch = w.epoch
join task t on t.job_id = a.job_id and t.index = a.task
join speaker s on s.key = a.node || ''
