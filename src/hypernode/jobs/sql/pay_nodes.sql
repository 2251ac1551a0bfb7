-- What nodes earned in all, for their status; the ledger has the money itself.
update node set earned = earned + paid.amount
from (select node, sum(amount)::bigint as amount from unnest($1::text[], $2::bigint[]) as t(node, amount) group by node order by node) paid
where node.key = paid.node
