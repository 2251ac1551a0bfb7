insert into job (id, project_id, content_id, name, labels, size, cap, held, turn_s, submitted_at,
                 treasury_bps, incentive_bps, stakers_bps)
select id, project_id, content_id, name, convert_from(labels, 'UTF8')::jsonb, size, cap, held, turn_s, submitted_at,
       treasury_bps, incentive_bps, stakers_bps
from unnest($1::uuid[], $2::uuid[], $3::bytea[], $4::text[], $5::bytea[], $6::int[], $7::bigint[], $8::bigint[],
            $9::float8[], $10::timestamptz[], $11::smallint[], $12::smallint[], $13::smallint[])
    as t(id, project_id, content_id, name, labels, size, cap, held, turn_s, submitted_at,
         treasury_bps, incentive_bps, stakers_bps)
