-- What was settled before, for reports that come once more.
select s.job_id, s.task, s.epoch, s.price, s.decision, s.node_signature, s.node, t.state as task_state
from unnest($1::uuid[], $2::int[], $3::int[]) as w(job_id, task, epoch)
join settlement s on s.job_id = w.job_id and s.task = w.task and s.epoch = w.epoch
join task t on t.job_id = s.job_id and t.index = s.task
