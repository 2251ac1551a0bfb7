-- Live attempts whose lease is over: the node gave no sign of life in time, the attempt took longer than it may, or a
-- cancel was not obeyed.
select a.job_id, a.task, a.epoch, a.node,
       case when l.alive_until <= clock_timestamp() then 'lease.expired'
            when a.deadline_at <= clock_timestamp() then 'lease.deadline'
            else 'cancel.ignored' end as cause
from attempt a join node_life l on l.node = a.node join job j on j.id = a.job_id
where a.state = 'leased'
  and (l.alive_until <= clock_timestamp() or a.deadline_at <= clock_timestamp()
       or j.cancel_requested_at < clock_timestamp() - make_interval(secs => $2 / 1000.0))
limit $1
