-- When no coordinator was there to renew leases, that is not the nodes' fault: those alive when the last one stopped
-- get time to come back, and the deadlines of their attempts move by as much as nobody was listening.
with last as (
    select max(ticked_at) as at, clock_timestamp() - max(ticked_at) as outage from coordinator where id <> $1
),
absent as (select at, outage from last where outage > interval '3 seconds'),
bridged as (
    update node_life l set alive_until = clock_timestamp() + make_interval(secs => $2 / 1000.0)
    from absent where l.alive_until >= absent.at - interval '2 seconds' and l.alive_until < clock_timestamp() + make_interval(secs => $2 / 1000.0)
    returning l.node
),
moved as (
    update attempt a set deadline_at = a.deadline_at + absent.outage
    from absent where a.state = 'leased' and a.deadline_at >= absent.at
    returning 1
)
select (select count(*) from bridged) as nodes, (select count(*) from moved) as attempts
