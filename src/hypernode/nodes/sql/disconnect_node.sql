-- The connection ended. Its leases go on until `alive_until`, so that a short break costs nothing; who said goodbye
-- ($3) and holds nothing is away at once.
update node_life l set coordinator_id = null, alive_until = case when $3 then clock_timestamp() else alive_until end
from node n
where l.node = $1 and l.session = $2 and n.key = l.node returning n.project_id
