insert into burn (index, at, cycle, amount, cumulative, reference)
select coalesce(max(b.index) + 1, 0), $1, coalesce((select cycles from vesting), 0), $2, coalesce(max(b.cumulative), 0) + $2, $3
from (select index, cumulative from burn order by index desc limit 1) b
returning index, at, cycle, amount, cumulative, reference
