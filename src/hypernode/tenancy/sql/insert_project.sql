insert into project (id, name) values ($1, $2) on conflict (name) do nothing returning id
