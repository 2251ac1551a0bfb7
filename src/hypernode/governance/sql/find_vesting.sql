select start_at, cycles, left_amount from vesting
