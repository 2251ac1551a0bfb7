select p.*, j.name as proposer_name from proposal p join project j on j.id = p.proposer
where ($1::text is null or p.state = $1) and ($2::uuid is null or p.id < $2)
order by p.id desc limit $3
