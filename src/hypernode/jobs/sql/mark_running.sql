-- Preparation is over. From here on time may be billed, less what the node's life had as gaps by now. A node that
-- comes back says it once more: then nothing is written, and the answer is that the lease is held.
with said as (
    select distinct * from unnest($1::uuid[], $2::int[], $3::int[], $4::text[]) as t(job_id, task, epoch, node)
),
started as (
    update attempt a set state = 'running', started_at = clock_timestamp(), gap_ms = l.gap_ms
    from said s join node_life l on l.node = s.node
    where a.job_id = s.job_id and a.task = s.task and a.epoch = s.epoch and a.node = s.node and a.state = 'leased'
    returning a.job_id, a.task, a.epoch
),
tasks as (
    update task t set state = 'running' from started s
    where t.job_id = s.job_id and t.index = s.task and t.epoch = s.epoch and t.state = 'leased'
)
select s.job_id, s.task, s.epoch, s.node, j.project_id, f.epoch is not null as fresh
from said s
join attempt a on a.job_id = s.job_id and a.task = s.task and a.epoch = s.epoch and a.node = s.node
    and a.state in ('leased', 'running')
join job j on j.id = s.job_id
left join started f on f.job_id = s.job_id and f.task = s.task and f.epoch = s.epoch
