select case when t.state = 'leased' and a.started_at is not null then 'running' else t.state end as state, t.epoch
from task t join job j on j.id = t.job_id
left join attempt a on a.job_id = t.job_id and a.task = t.index and a.epoch = t.epoch
where t.job_id = $1 and t.index = $2 and j.project_id = $3
