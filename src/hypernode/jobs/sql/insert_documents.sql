-- Documents that may be new, each once, in the order of their ids.
insert into document (content_id, data) select * from unnest($1::bytea[], $2::bytea[]) on conflict do nothing
