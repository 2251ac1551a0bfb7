-- Which of these nodes still speak through these sessions and are alive by the database's clock.
select l.node
from node_life l join unnest($1::text[], $2::uuid[]) as t(node, session) on l.node = t.node and l.session = t.session
where l.alive_until > clock_timestamp()
order by l.node for share of l
