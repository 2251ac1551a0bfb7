select p.*, j.name as proposer_name from proposal p join project j on j.id = p.proposer where p.id = $1
