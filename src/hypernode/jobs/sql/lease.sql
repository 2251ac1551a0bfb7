-- Lease tasks to nodes, decided on a snapshot: the conflict check and everything that becomes of it, its event too, in
-- one statement, since each is a way to the database and back while somebody waits, and so are the beginning and the end
-- of a transaction of several.
--
-- A task is leased if its job is open, its node speaks through this session and is alive by the database's clock, and
-- its range still begins where the caller thinks. A range can only be taken from its front, so what was decided of one is
-- left out as a whole if any of it must be. Jobs ($7) are held in the same order as by lock_jobs, nodes ($8, through $9)
-- and ranges each in theirs. Each wanted task is answered, in no order: with its epoch, if it was leased.
with wanted as materialized (
    select * from unnest($1::bigint[], $2::uuid[], $3::int[], $4::text[], $5::bigint[], $6::bigint[], $10::bigint[],
                         $11::bigint[])
        as t(queue_id, job_id, task, node, rate, fixed, remaining_cap, deadline_ms)
),
open as materialized (
    select id, project_id from job
    where id = any($7::uuid[]) and state in ('queued', 'running') and cancel_requested_at is null
    order by id for no key update
),
alive as materialized (
    select l.node
    from node_life l join unnest($8::text[], $9::uuid[]) as t(node, session) on l.node = t.node and l.session = t.session
    where l.alive_until > clock_timestamp()
    order by l.node for share of l
),
whole as (
    select w.queue_id, min(w.task) as first, count(*)::int as n
    from wanted w left join open o on o.id = w.job_id left join alive a on a.node = w.node
    group by w.queue_id having bool_and(o.id is not null and a.node is not null)
),
held as materialized (
    select q.id, q.first, q.beyond, w.n
    from queue q join whole w on w.queue_id = q.id and w.first = q.first
    order by q.id for update of q skip locked
),
emptied as (
    delete from queue using held where queue.id = held.id and held.first + held.n >= held.beyond
),
shortened as (
    update queue set first = queue.first + held.n from held
    where queue.id = held.id and held.first + held.n < held.beyond
),
leased as (
    insert into task (job_id, index, state, epoch)
    select w.job_id, w.task, 'leased', 1 from wanted w join held h on h.id = w.queue_id
    on conflict (job_id, index) do update set state = 'leased', epoch = task.epoch + 1 where task.state = 'queued'
    returning job_id, index, epoch
),
begun as (
    update job set started = true, state = 'running' where id in (select job_id from leased) and not started
),
granted as materialized (
    select w.*, l.epoch, o.project_id
    from wanted w join leased l on l.job_id = w.job_id and l.index = w.task join open o on o.id = w.job_id
),
attempts as (
    insert into attempt (job_id, task, epoch, node, state, leased_at, deadline_at, rate, fixed, remaining_cap)
    select job_id, task, epoch, node, 'leased', now(), now() + deadline_ms * interval '1 ms', rate, fixed, remaining_cap
    from granted
),
said as (
    insert into event (project_id, kind, job_id, task, epoch, node)
    select project_id, 'task.leased', job_id, task, epoch, node from granted
)
select w.job_id, w.task, l.epoch, a.node is not null as alive, w.node
from wanted w
left join leased l on l.job_id = w.job_id and l.index = w.task
left join alive a on a.node = w.node
