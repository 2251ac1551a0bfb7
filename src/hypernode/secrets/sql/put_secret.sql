-- No row comes back if the secret is new and the project has $6 already.
insert into secret (project_id, name, kind, registry, sealed)
select $1, $2, $3, $4, $5
where (select count(*) from secret where project_id = $1 and name <> $2) < $6
on conflict (project_id, name) do update
set kind = excluded.kind, registry = excluded.registry, sealed = excluded.sealed, updated_at = clock_timestamp()
returning name, kind, registry, created_at, updated_at
