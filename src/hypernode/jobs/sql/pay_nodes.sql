-- What nodes earned in all, for their status; the ledger has the money itself. Each node is named once.
select pay_nodes($1::text[], $2::bigint[])
