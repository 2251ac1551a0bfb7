-- The front of every project's line, without the shapes that are known not to fit anywhere at the moment. At most $2 rows
-- in all, shared out between the projects that wait, but one of each. Projects are found by skipping along the index.
with recursive project as (
    (select project_id from queue order by project_id limit 1)
    union all
    select (select q.project_id from queue q where q.project_id > p.project_id order by q.project_id limit 1)
    from project p where p.project_id is not null
)
select front.id, front.job_id, front.first, front.beyond, front.shape, front.remaining_cap, front.project_id,
       extract(epoch from front.turn_at)::float8 as rank
from project p cross join lateral (
    select q.* from queue q
    where q.project_id = p.project_id and q.ready_at <= clock_timestamp() and q.shape <> all($1::bigint[])
    order by q.turn_at, q.id
    limit (select greatest(1, $2 / greatest(1, count(project_id))) from project)
) front
where p.project_id is not null
