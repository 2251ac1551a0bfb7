-- Whoever changes anything about a job's tasks holds the job first, in the order of ids: one lock order for all.
select id, project_id, content_id, size, cap, started, succeeded, failed, cancelled, expired, held, spent, state,
       treasury_bps, incentive_bps, stakers_bps, cancel_requested_at is not null as cancel_requested
from job where id = any($1::uuid[]) order by id for no key update
