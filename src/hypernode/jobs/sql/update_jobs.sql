update job j set succeeded = n.succeeded, failed = n.failed, cancelled = n.cancelled, expired = n.expired,
    held = n.held, spent = n.spent, state = n.state,
    ended_at = case when n.ended then clock_timestamp() else j.ended_at end
from unnest($1::uuid[], $2::int[], $3::int[], $4::int[], $5::int[], $6::bigint[], $7::bigint[], $8::text[], $9::bool[])
    as n(id, succeeded, failed, cancelled, expired, held, spent, state, ended)
where j.id = n.id
