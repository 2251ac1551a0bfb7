select s.task, s.epoch, s.body, s.node_signature, s.decision, s.coordinator_signature
from settlement s join job j on j.id = s.job_id
where s.job_id = $1 and j.project_id = $2 and (s.task, s.epoch) > ($3, $4)
order by s.task, s.epoch limit $5
