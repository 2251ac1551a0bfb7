-- Take the first `n` tasks of ranges, if they still begin where the caller thinks: the conflict check of a decision
-- that was made on a snapshot.
with wanted as (
    select * from unnest($1::bigint[], $2::int[], $3::int[]) as t(id, first, n)
),
held as (
    select q.id, q.job_id, q.first, q.beyond, w.n
    from queue q join wanted w on w.id = q.id and w.first = q.first
    order by q.id for update of q skip locked
),
emptied as (
    delete from queue using held where queue.id = held.id and held.first + held.n >= held.beyond
),
shortened as (
    update queue set first = queue.first + held.n from held
    where queue.id = held.id and held.first + held.n < held.beyond
)
select id from held
