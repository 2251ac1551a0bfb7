-- Preparation is over. From here on time may be billed, less what the node's life had as gaps by now. What is not
-- given back is not this node's lease (any more), or was known to run.
-- Nodes are those that speak ($5), looked up once each, see find_attempts. `ended_at is null` rather than the state, and
-- `|| ''`: live leases have indexes, by node too, and the planner would go through all of them.
with speaker as materialized (select node, gap_ms from node_life where node = any($5::text[]))
update attempt a set started_at = clock_timestamp(), gap_ms = s.gap_ms
from unnest($1::uuid[], $2::int[], $3::int[], $4::text[]) as said(job_id, task, epoch, node)
join speaker s on s.node = said.node
where a.job_id = said.job_id and a.task = said.task and a.epoch = said.epoch and a.node || '' = said.node
  and a.ended_at is null and a.started_at is null
returning a.job_id, a.task, a.epoch, a.node
