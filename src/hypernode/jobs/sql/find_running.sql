-- Which of these leases their nodes hold, and are known to run.
select a.job_id, a.task, a.epoch
from unnest($1::uuid[], $2::int[], $3::int[], $4::text[]) as said(job_id, task, epoch, node)
join attempt a on a.job_id = said.job_id and a.task = said.task and a.epoch = said.epoch
where a.node || '' = said.node and a.ended_at is null and a.started_at is not null
