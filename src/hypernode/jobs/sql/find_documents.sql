select j.id, j.project_id, d.data as document from job j join document d using (content_id) where j.id = any($1::uuid[])
