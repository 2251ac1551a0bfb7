select index, at, cycle, amount, cumulative, reference from burn
where $1::bigint is null or index < $1 order by index desc limit $2
