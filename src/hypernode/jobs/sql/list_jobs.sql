select j.id, j.content_id, j.name, j.labels, j.size, j.cap, j.started, j.succeeded, j.failed, j.cancelled, j.expired, j.held,
       j.spent, j.state, j.submitted_at, j.ended_at, j.treasury_bps, j.incentive_bps, j.stakers_bps,
       (select count(*) from attempt a where a.job_id = j.id and a.state = 'leased') as live
from job j
where j.project_id = $1 and ($2::uuid is null or j.id < $2)
  and ($3::text is null or j.state = $3) and ($4::text is null or j.name = $4) and ($5::jsonb is null or j.labels @> $5)
order by j.id desc limit $6
