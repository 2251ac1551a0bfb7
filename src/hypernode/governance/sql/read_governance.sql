select g.staked, g.weight, g.accumulator, g.held, g.distributed, g.paid, g.parameters, g.height, clock_timestamp() as at,
       (select balance from account_balance where kind = 'stakers' and project_id is null) as stakers
from governance g
