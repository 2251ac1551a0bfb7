-- The front of every project's line, without the shapes that are known not to fit anywhere at the moment. At most $2 rows
-- in all, shared out between the projects that wait, but one of each; of a project of which nothing is ready, a row says
-- only where its line begins.
-- Lines ($3) are known from the look before, and from where on they may have rows ($4): what was before has been taken,
-- and while some old transaction keeps vacuum away, it is still in the index. What came in since ($5 and later, by id)
-- may belong anywhere in a line, or to one that nobody knew. (In the order of ids, or a plan that is made while the queue is
-- empty goes through another index as a whole.)
with known as (
    select project_id, min(turn_at) as turn_at
    from (
        select * from unnest($3::uuid[], $4::timestamptz[]) as k(project_id, turn_at)
        union all
        select project_id, turn_at from (select id, project_id, turn_at from queue where id >= $5 order by id) arrived
    ) either
    group by project_id
),
line as materialized (
    select first.project_id, first.turn_at from known cross join lateral (
        select q.project_id, q.turn_at from queue q
        where q.project_id = known.project_id and q.turn_at >= known.turn_at
        order by q.turn_at limit 1
    ) first
)
select line.project_id, line.turn_at as line_from, newest.id as newest, front.id, front.job_id, front.first, front.beyond,
       front.shape, front.remaining_cap, extract(epoch from front.turn_at)::float8 as rank
from (select last_value as id from queue_id_seq) newest
left join line on true
left join lateral (
    select q.* from queue q
    where q.project_id = line.project_id and q.turn_at >= line.turn_at
      and q.ready_at <= clock_timestamp() and q.shape <> all($1::bigint[])
    order by q.turn_at, q.id
    limit (select greatest(1, $2 / greatest(1, count(*))) from line)
) front on true
