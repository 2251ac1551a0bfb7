select id, project_id, document from job where id = any($1::uuid[])
