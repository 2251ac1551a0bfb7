-- Transfers that touch some accounts, newest first, older than a given one.
select distinct t.id, t.at, t.debit, t.credit, t.amount, t.cause, t.job_id, t.task, t.epoch
from unnest($1::bigint[]) as a (id)
join lateral (
    (select * from transfer where debit = a.id and id < $2 order by id desc limit $3)
    union all
    (select * from transfer where credit = a.id and id < $2
       and cause not in ('fee_treasury', 'fee_incentive', 'fee_stakers') order by id desc limit $3)
) t on true
order by t.id desc
limit $3
