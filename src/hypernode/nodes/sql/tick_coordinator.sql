update coordinator set ticked_at = clock_timestamp() where id = $1
