select a.task, a.epoch, a.node from attempt a where a.job_id = $1 and a.state = 'leased' order by a.task
