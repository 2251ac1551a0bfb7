-- Where the line of every project that waits begins: its first row, ready or not. Projects are found by skipping along the
-- index. With the newest id that was given out. This passes over all rows that were taken and that vacuum has not removed, so it is not asked at every look.
with recursive line as (
    (select project_id, turn_at from queue order by project_id, turn_at limit 1)
    union all
    select next.project_id, next.turn_at from line cross join lateral (
        select q.project_id, q.turn_at from queue q where q.project_id > line.project_id
        order by q.project_id, q.turn_at limit 1
    ) next
)
select line.project_id, line.turn_at, newest.id as newest
from (select last_value as id from queue_id_seq) newest left join line on true
