select k.handle, k.name, p.name as project, k.created_at, k.revoked_at
from api_key k join project p on p.id = k.project_id order by p.name, k.created_at
