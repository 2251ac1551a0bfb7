-- Tasks that have a row, by index; those never leased have none.
select t.index, t.state, t.epoch, t.spent, s.body
from task t join job j on j.id = t.job_id
left join settlement s on s.job_id = t.job_id and s.task = t.index and s.epoch = t.epoch
where t.job_id = $1 and j.project_id = $2 and t.index > $3 and t.index <= $4 and ($5::text is null or t.state = $5)
order by t.index limit $6
