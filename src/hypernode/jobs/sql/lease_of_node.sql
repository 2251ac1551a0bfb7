-- Whether a node holds this very lease at this moment, and for what.
select j.project_id, d.data as document
from attempt a join job j on j.id = a.job_id join document d using (content_id)
join node_life l on l.node = a.node join node n on n.key = a.node
where a.job_id = $1 and a.task = $2 and a.epoch = $3 and a.node = $4 and a.state = 'leased'
  and l.alive_until > clock_timestamp() and n.revoked_at is null
