-- Tasks that have a row, by index; those never leased have none. A leased task runs once its attempt has started.
select t.index, t.state, t.epoch, t.spent, s.body
from (
    select t.job_id, t.index, t.epoch, t.spent,
           case when t.state = 'leased' and a.started_at is not null then 'running' else t.state end as state
    from task t left join attempt a on a.job_id = t.job_id and a.task = t.index and a.epoch = t.epoch
    where t.job_id = $1 and t.index > $3 and t.index <= $4
) t join job j on j.id = t.job_id
left join settlement s on s.job_id = t.job_id and s.task = t.index and s.epoch = t.epoch
where j.project_id = $2 and ($5::text is null or t.state = $5)
order by t.index limit $6
