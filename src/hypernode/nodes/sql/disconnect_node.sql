-- The connection ended. Its leases go on until `alive_until`, so that a short break costs nothing.
update node_life l set coordinator_id = null from node n
where l.node = $1 and l.session = $2 and n.key = l.node returning n.project_id
