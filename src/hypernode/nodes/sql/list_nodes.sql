select n.key, n.name, n.project_id, n.capabilities, n.rate, n.fixed, n.draining, n.enrolled_at, n.revoked_at,
       coalesce((select amount from earning where node = n.key order by version desc limit 1), 0) as earned,
       l.last_seen_at, coalesce(l.alive_until > clock_timestamp(), false) as alive, l.coordinator_id is not null as connected,
       (select count(*) from attempt a where a.node = n.key and a.state = 'leased') as running
from node n join node_life l on l.node = n.key
where ($1::uuid is null or n.project_id = $1) and n.key > $2 and ($3::text is null or n.key = $3)
order by n.key limit $4
