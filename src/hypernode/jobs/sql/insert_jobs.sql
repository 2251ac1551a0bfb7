insert into job (id, project_id, content_id, name, document, labels, size, cap, held, turn_s, submitted_at)
select id, project_id, content_id, name, document, convert_from(labels, 'UTF8')::jsonb, size, cap, held, turn_s, submitted_at
from unnest($1::uuid[], $2::uuid[], $3::bytea[], $4::text[], $5::bytea[], $6::bytea[], $7::int[], $8::bigint[],
            $9::bigint[], $10::float8[], $11::timestamptz[])
    as t(id, project_id, content_id, name, document, labels, size, cap, held, turn_s, submitted_at)
