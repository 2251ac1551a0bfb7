select * from slashing_case
where ($1::text is null or state = $1) and ($2::uuid is null or stake_id = $2) and ($3::uuid is null or id < $3)
order by id desc limit $4
