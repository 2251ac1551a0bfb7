-- The trigger on transfer moves the balances.
insert into transfer (debit, credit, amount, cause, job_id, task, epoch)
select * from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::uuid[], $6::int[], $7::int[])
