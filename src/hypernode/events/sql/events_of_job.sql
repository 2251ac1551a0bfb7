select e.xid::text as xid, e.seq, e.at, e.kind, e.job_id, e.task, e.epoch, e.node, e.data
from event e where e.job_id = $1 and e.project_id = $2 order by e.seq limit $3
