-- A node is back: from now on only this session speaks for it.
with n as (
    update node set capabilities = $3, rate = $4, fixed = $5, agent_version = $6, draining = $7
    where key = $1 and revoked_at is null returning key, project_id
)
update node_life l set session = $2, coordinator_id = $8,
    gap_ms = gap_ms + greatest(0, (extract(epoch from clock_timestamp() - coalesce(l.last_seen_at, clock_timestamp())) * 1000)::bigint - $10),
    last_seen_at = clock_timestamp(),
    alive_until = clock_timestamp() + make_interval(secs => $9 / 1000.0)
from n where l.node = n.key
returning n.project_id
