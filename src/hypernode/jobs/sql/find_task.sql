select t.state, t.epoch from task t join job j on j.id = t.job_id where t.job_id = $1 and t.index = $2 and j.project_id = $3
