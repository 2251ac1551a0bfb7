-- How many of a node's last attempts were lost with it, and for how long it held them.
select count(*) filter (where state = 'lost' and cause in
           ('lease.expired', 'node.forgot', 'node.restarted', 'node.stopping', 'node.disconnected'))::int as losses,
       coalesce(sum(extract(epoch from coalesce(ended_at, clock_timestamp()) - leased_at)), 0)::float8 as held_s
from (select state, cause, leased_at, ended_at from attempt where node = $1 order by leased_at desc limit $2) recent
