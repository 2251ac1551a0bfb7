select j.id, j.content_id, j.name, j.labels, j.size, j.cap, j.started, j.succeeded, j.failed, j.cancelled, j.expired, j.held,
       j.spent, j.state, j.submitted_at, j.ended_at, j.treasury_bps, j.incentive_bps, j.stakers_bps,
       (select count(*) from attempt a where a.job_id = j.id and a.state = 'leased') as live, d.data as document
from job j join document d using (content_id) where j.id = $1 and j.project_id = $2
