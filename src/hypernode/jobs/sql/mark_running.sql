-- Preparation is over. From here on time may be billed, less what the node's life had as gaps by now.
with said as (
    select * from unnest($1::uuid[], $2::int[], $3::int[], $4::text[]) as t(job_id, task, epoch, node)
),
started as (
    update attempt a set state = 'running', started_at = clock_timestamp(), gap_ms = l.gap_ms
    from said s join node_life l on l.node = s.node
    where a.job_id = s.job_id and a.task = s.task and a.epoch = s.epoch and a.node = s.node and a.state = 'leased'
    returning a.job_id, a.task, a.epoch, a.node
),
tasks as (
    update task t set state = 'running' from started s
    where t.job_id = s.job_id and t.index = s.task and t.epoch = s.epoch and t.state = 'leased'
)
select s.job_id, s.task, s.epoch, s.node, j.project_id from started s join job j on j.id = s.job_id
