delete from queue where job_id = $1 returning first, beyond, remaining_cap
