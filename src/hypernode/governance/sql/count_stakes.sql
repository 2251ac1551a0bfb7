select count(*) from stake where owner = $1 and state <> 'withdrawn'
