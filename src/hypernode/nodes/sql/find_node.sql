select n.key, n.project_id, p.name as project, n.revoked_at from node n join project p on p.id = n.project_id where n.key = $1
