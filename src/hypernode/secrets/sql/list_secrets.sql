select name, kind, registry, created_at, updated_at from secret where project_id = $1 order by name collate "C"
