select a.job_id, a.task, a.epoch, a.remaining_cap, a.started_at is not null as running, j.project_id, d.data as document,
       j.cancel_requested_at is not null as cancel_requested
from attempt a join job j on j.id = a.job_id join document d using (content_id)
where a.node = $1 and a.state = 'leased'
