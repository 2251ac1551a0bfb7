-- Attempts and tasks ---------------------------------------------------------------------------------------------------

-- Whether a leased attempt runs is said by `started_at` alone. Its start then changes no column that an index knows, so
-- that the row is changed in place, and the task's row isn't touched at all.
update attempt set state = 'leased' where state = 'running';
update task set state = 'leased' where state = 'running';
alter table attempt drop constraint attempt_state_check,
    add constraint attempt_state_check check (state in ('leased', 'accepted', 'retried', 'lost'));
alter table task drop constraint task_state_check,
    add constraint task_state_check
        check (state in ('queued', 'leased', 'succeeded', 'failed', 'cancelled', 'expired'));

-- History --------------------------------------------------------------------------------------------------------------

-- The time of history is that of its transaction: a default that varies between rows keeps COPY from filling pages.
alter table event alter column at set default now();
alter table transfer alter column at set default now();
alter table settlement alter column settled_at set default now();

-- Ids of transfers are unique as they are counted, and nobody looks for the fees by the accounts they went to: these
-- belong to no project and have no statement.
alter table transfer drop constraint transfer_pkey;
drop index transfer_by_credit;
create index transfer_by_credit on transfer (credit, id)
    where cause not in ('fee_treasury', 'fee_incentive', 'fee_stakers');

-- References -----------------------------------------------------------------------------------------------------------

-- What these references check row by row, each with a lock on the parent, is known anyway in the transaction that
-- inserts: a job's project by its account, which is locked for the hold; queued work by the job that is inserted with
-- it; an attempt's node by its life, which is locked; an attempt's task by the row that was just leased. Parents must
-- not go away, and that is said to them. The reference of a task to its job and that of money to its attempt stay.
alter table job drop constraint job_project_id_fkey;
alter table idempotency drop constraint idempotency_project_id_fkey;
alter table queue drop constraint queue_job_id_fkey;
alter table attempt drop constraint attempt_node_fkey, drop constraint attempt_job_id_task_fkey;

create trigger project_is_kept before delete or truncate on project for each statement execute function refuse_change();
create trigger node_is_kept before delete or truncate on node for each statement execute function refuse_change();
create trigger job_is_kept before delete or truncate on job for each statement execute function refuse_change();
create trigger task_is_kept before delete or truncate on task for each statement execute function refuse_change();
create trigger attempt_is_kept before delete or truncate on attempt for each statement execute function refuse_change();
