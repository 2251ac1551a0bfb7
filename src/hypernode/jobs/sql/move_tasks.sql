-- Tasks go where the decisions about their attempts say.
update task t set state = m.state, infrastructure_failures = m.infrastructure_failures, job_failures = m.job_failures,
    spent = m.spent
from unnest($1::uuid[], $2::int[], $3::int[], $4::text[], $5::int[], $6::int[], $7::bigint[])
    as m(job_id, index, epoch, state, infrastructure_failures, job_failures, spent)
where t.job_id = m.job_id and t.index = m.index and t.epoch = m.epoch
