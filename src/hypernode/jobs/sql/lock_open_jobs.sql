-- Those of these jobs that may get leases, held in the same order as by lock_jobs.
select id from job
where id = any($1::uuid[]) and state in ('queued', 'running') and cancel_requested_at is null
order by id for no key update
