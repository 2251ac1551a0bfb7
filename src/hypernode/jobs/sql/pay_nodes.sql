-- What nodes earned in all, for their status; the ledger has the money itself. Each node is named once.
update node set earned = earned + paid.amount
from (select * from unnest($1::text[], $2::bigint[]) as t(node, amount) order by node) paid
where node.key = paid.node
