-- One statement a second for all nodes of a coordinator: whoever was heard of is alive for another lease. What passed
-- without a sign of life beyond the evidence gap is noted, since it may not be billed.
update node_life l set
    gap_ms = gap_ms + greatest(0, (extract(epoch from clock_timestamp() - l.last_seen_at) * 1000)::bigint - $4),
    last_seen_at = clock_timestamp(),
    alive_until = clock_timestamp() + make_interval(secs => $3 / 1000.0)
from (select * from unnest($1::text[], $2::uuid[]) as t(node, session) order by node) heard
join node n on n.key = heard.node and n.revoked_at is null
where l.node = heard.node and l.session = heard.session
returning l.node
