select k.handle, k.secret_hash, k.project_id, p.name as project
from api_key k join project p on p.id = k.project_id
where k.handle = $1 and k.revoked_at is null
