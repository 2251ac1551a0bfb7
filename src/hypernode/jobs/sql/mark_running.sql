-- Preparation is over. From here on time may be billed, less what the node's life had as gaps by now. What is not
-- given back is not this node's lease (any more), or was known to run.
-- `ended_at is null` rather than the state: live leases have indexes, and the planner would go through all of them.
update attempt a set started_at = clock_timestamp(), gap_ms = (select l.gap_ms from node_life l where l.node = a.node)
from unnest($1::uuid[], $2::int[], $3::int[], $4::text[]) as said(job_id, task, epoch, node)
where a.job_id = said.job_id and a.task = said.task and a.epoch = said.epoch
  and a.node is not distinct from said.node and a.ended_at is null and a.started_at is null
returning a.job_id, a.task, a.epoch, a.node
