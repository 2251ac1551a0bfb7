-- What stands before the next waiting task of a job ($1), counted up to $3: tasks of its own project, and other projects
-- that wait. And when the first of the attempts that run on the nodes named ($2) ends, so far as its timeout says:
-- preparing and reporting ($4 ms together) are not counted in.
with recursive mine as (
    select id, project_id, turn_at, ready_at from queue where job_id = $1
    order by greatest(ready_at, clock_timestamp()), turn_at, id limit 1
),
project as (
    (select project_id from queue order by project_id limit 1)
    union all
    select (select q.project_id from queue q where q.project_id > p.project_id order by q.project_id limit 1)
    from project p where p.project_id is not null
),
before as (
    select least(q.beyond - q.first, $3) as tasks from queue q join mine m on q.project_id = m.project_id
    where (q.turn_at, q.id) < (m.turn_at, m.id) and q.ready_at <= clock_timestamp() and q.job_id <> $1
    order by q.turn_at, q.id limit $3
),
running as (
    select a.deadline_at - make_interval(secs => $4 / 1000.0) + (coalesce(a.started_at, a.leased_at) - a.leased_at) as ends_at
    from attempt a where a.node = any($2::text[]) and a.state = 'leased'
)
select case when m.ready_at > clock_timestamp() then m.ready_at end as retried_at,
       (select least(coalesce(sum(tasks), 0), $3) from before)::int as ahead,
       (select count(*) from (select 1 from project p where p.project_id <> m.project_id limit $3) o)::int as others,
       (select min(greatest(ends_at, clock_timestamp())) from running) as room_at
from mine m
