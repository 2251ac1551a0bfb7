select coalesce(json_object_agg(kind, balance), '{}') as balances,
       sum(balance)::bigint as total,
       (select count(*) from transfer) as transfers,
       (select count(*) from settlement) as settlements,
       not exists (
           select 1 from account a
           where balance <> coalesce((select sum(amount) from transfer where credit = a.id), 0)
                          - coalesce((select sum(amount) from transfer where debit = a.id), 0)
       ) as consistent
from (select kind, sum(balance)::bigint as balance from account group by kind) by_kind
