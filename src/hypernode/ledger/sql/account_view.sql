select p.name,
       (select balance from account where project_id = p.id and kind = 'available') as available,
       (select balance from account where project_id = p.id and kind = 'escrow') as escrow,
       (select coalesce(sum(earned), 0)::bigint from node where project_id = p.id) as earned,
       (select coalesce(sum(spent), 0)::bigint from job where project_id = p.id) as spent
from project p where p.id = $1
