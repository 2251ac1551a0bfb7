update governance
set height = $1, head = $2, at = $3, staked = $4, weight = $5, accumulator = $6, held = $7, distributed = $8, paid = $9,
    bonded = $10, parameters = $11
