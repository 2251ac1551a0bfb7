select s.project_id, s.name, s.registry, s.sealed
from secret s
join unnest($1::uuid[], $2::text[]) as wanted(project_id, name) using (project_id, name)
