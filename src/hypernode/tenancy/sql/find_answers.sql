-- What earlier requests with these keys made.
select i.project_id, i.key, i.fingerprint, i.resource, i.answer
from idempotency i
join unnest($1::uuid[], $2::text[]) as wanted(project_id, key) using (project_id, key)
