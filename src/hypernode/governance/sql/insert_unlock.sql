insert into unlock (cycle, at, amount, burned, stakers, operations) values ($1, $2, $3, $4, $5, $6)
