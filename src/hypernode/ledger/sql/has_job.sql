select exists (select from job where id = $1 and project_id = $2)
