insert into api_key (handle, project_id, name, secret_hash) values ($1, $2, $3, $4)
