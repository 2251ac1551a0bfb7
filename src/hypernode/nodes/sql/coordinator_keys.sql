select distinct key from coordinator order by key
