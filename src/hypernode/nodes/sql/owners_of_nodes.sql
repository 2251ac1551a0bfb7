-- Projects that had a node, not revoked, before a moment.
select distinct project_id from node where project_id = any($1::uuid[]) and revoked_at is null and enrolled_at < $2
