update node set draining = true where key = $1 returning project_id
