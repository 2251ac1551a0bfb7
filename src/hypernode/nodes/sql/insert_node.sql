with n as (
    insert into node (key, project_id, name) values ($1, $2, $3)
    on conflict (key) do update set name = excluded.name where node.project_id = excluded.project_id
    returning key
)
insert into node_life (node) select key from n on conflict do nothing
