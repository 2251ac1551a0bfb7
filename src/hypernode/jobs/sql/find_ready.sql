-- Ready work, oldest first, leaving out the shapes that are known not to fit anywhere at the moment.
select id, job_id, first, beyond, shape, remaining_cap
from queue
where ready_at <= clock_timestamp() and shape <> all($1::bigint[])
order by ready_at, id
limit $2
