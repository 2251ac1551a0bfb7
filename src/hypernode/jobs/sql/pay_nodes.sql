-- What nodes earned in all, for their status; the ledger has the money itself. Each node is named once. The trigger on
-- earning adds this to what they had earned.
insert into earning (node, amount) select * from unnest($1::text[], $2::bigint[]) as t(node, amount) order by node
