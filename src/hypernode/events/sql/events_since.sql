-- Events of a project after a position, up to the oldest transaction still running: an event that commits late is
-- read late rather than never.
select e.xid::text as xid, e.seq, e.at, e.kind, e.job_id, e.task, e.epoch, e.node, e.data
from event e
where e.project_id = $1 and (e.xid, e.seq) > ($2::text::xid8, $3)
  and e.xid < pg_snapshot_xmin(pg_current_snapshot())
  and ($4::uuid is null or e.job_id = $4)
order by e.xid, e.seq limit $5
