-- How many tasks these nodes hold; who holds none is left out.
select node, count(*) as running from attempt where node = any($1::text[]) and state = 'leased' group by node
