-- Live attempts of the nodes whose lease ran out within the last $2 seconds: those of overdue_attempts that are found from
-- their nodes, without a look at what all others hold.
with lapsed as materialized (
    select node from node_life
    where alive_until <= clock_timestamp() and alive_until > clock_timestamp() - make_interval(secs => $2::float8)
)
select a.job_id, a.task, a.epoch, a.node, 'lease.expired' as cause
from lapsed l cross join lateral (
    select job_id, task, epoch, node from attempt where node = l.node and state = 'leased' offset 0
) a
limit $1
