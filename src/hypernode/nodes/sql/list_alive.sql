-- Nodes whose leases run, with what they offer. How many tasks they hold is counted apart, for those who ask.
select n.key, n.name, n.project_id, n.capabilities, n.rate, n.fixed, n.draining, l.coordinator_id is not null as connected
from node n join node_life l on l.node = n.key
where l.alive_until > clock_timestamp() and n.capabilities is not null and n.revoked_at is null
order by n.key limit $1
