-- $1 id. An attempt's row stays until it is swept: what attempts upload is summed.
DELETE FROM upload WHERE id = $1 AND job_id IS NULL
