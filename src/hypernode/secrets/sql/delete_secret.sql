delete from secret where project_id = $1 and name = $2 returning name
