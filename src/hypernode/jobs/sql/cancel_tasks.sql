-- Tasks that wait for another attempt end here; tasks never leased have no row and need none.
update task set state = 'cancelled' where job_id = $1 and state = 'queued' returning index
