update vesting set cycles = $1, left_amount = $2
