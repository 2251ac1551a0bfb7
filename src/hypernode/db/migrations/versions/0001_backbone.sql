-- Tenancy -------------------------------------------------------------------------------------------------------------

create table project (
    id uuid primary key,
    name text not null unique check (name ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    created_at timestamptz not null default clock_timestamp()
);

create table api_key (
    handle text primary key,
    project_id uuid not null references project,
    name text not null,
    secret_hash bytea not null check (length(secret_hash) = 32),
    created_at timestamptz not null default clock_timestamp(),
    revoked_at timestamptz
);

create table idempotency (
    project_id uuid not null references project,
    key text not null,
    fingerprint bytea not null,
    resource uuid,
    answer bytea,
    created_at timestamptz not null default clock_timestamp(),
    primary key (project_id, key)
);

-- Ledger --------------------------------------------------------------------------------------------------------------

create table account (
    id bigint generated always as identity primary key,
    kind text not null check (kind in ('available', 'escrow', 'issuance', 'treasury', 'incentive', 'stakers')),
    project_id uuid references project,
    balance bigint not null default 0,
    constraint balance_not_negative check (balance >= 0 or kind = 'issuance'),
    constraint account_owner check ((kind in ('available', 'escrow')) = (project_id is not null)),
    constraint account_once unique nulls not distinct (kind, project_id)
) with (fillfactor = 50);

insert into account (kind) values ('issuance'), ('treasury'), ('incentive'), ('stakers');

-- Every movement names the account it leaves and the one it enters, so it sums to zero by construction.
create table transfer (
    at timestamptz not null default clock_timestamp(),
    id bigint generated always as identity,
    debit bigint not null,
    credit bigint not null,
    amount bigint not null check (amount > 0),
    cause text not null,
    job_id uuid,
    task int,
    epoch int,
    check (debit <> credit),
    primary key (at, id)
) partition by range (at);

create table transfer_default partition of transfer default;
create index transfer_by_debit on transfer (debit, id);
create index transfer_by_credit on transfer (credit, id);

-- Balances follow transfers and nothing else. Accounts are locked in the order of their ids, so that two settlements
-- touching the same accounts from two connections queue up instead of deadlocking.
create function transfer_apply() returns trigger language plpgsql as $$
declare
    wanted bigint;
    moved bigint;
begin
    perform 1 from account
        where id in (select debit from fresh union select credit from fresh) order by id for update;
    get diagnostics wanted = row_count;
    if wanted <> (select count(*) from (select debit from fresh union select credit from fresh) ids) then
        raise exception 'a transfer names an account that does not exist' using errcode = 'foreign_key_violation';
    end if;
    perform set_config('hypernode.transfer', 'on', true);
    update account set balance = balance + delta.amount
        from (
            select id, sum(amount) as amount
            from (select debit as id, -amount as amount from fresh union all select credit, amount from fresh) moves
            group by id
        ) delta
        where account.id = delta.id;
    get diagnostics moved = row_count;
    perform set_config('hypernode.transfer', 'off', true);
    if moved <> wanted then
        raise exception 'balances did not follow the transfers' using errcode = 'integrity_constraint_violation';
    end if;
    return null;
end $$;

create trigger transfer_apply after insert on transfer
    referencing new table as fresh for each statement execute function transfer_apply();

create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% is history and cannot be changed', tg_table_name using errcode = 'integrity_constraint_violation';
end $$;

-- For each row, since triggers for each statement do not hold for partitions that are named themselves.
create trigger transfer_is_history before update or delete on transfer
    for each row execute function refuse_change();
create trigger transfer_is_kept before truncate on transfer for each statement execute function refuse_change();

create function account_guard() returns trigger language plpgsql as $$
begin
    if tg_op = 'DELETE' then
        raise exception 'accounts are for ever' using errcode = 'integrity_constraint_violation';
    end if;
    if new.balance <> (case tg_op when 'UPDATE' then old.balance else 0 end) and current_setting('hypernode.transfer', true) is distinct from 'on' then
        raise exception 'balances change through transfers only' using errcode = 'integrity_constraint_violation';
    end if;
    return new;
end $$;

create trigger account_guard before insert or update or delete on account for each row execute function account_guard();

-- Artifacts -----------------------------------------------------------------------------------------------------------

create table artifact (
    sha256 bytea primary key check (length(sha256) = 32),
    size_bytes bigint not null check (size_bytes >= 0),
    stored_at timestamptz not null default clock_timestamp()
);

create table artifact_grant (
    project_id uuid not null references project,
    sha256 bytea not null references artifact,
    granted_at timestamptz not null default clock_timestamp(),
    primary key (project_id, sha256)
);

create table upload (
    id uuid primary key,
    project_id uuid not null references project,
    sha256 bytea not null check (length(sha256) = 32),
    size_bytes bigint not null check (size_bytes >= 0),
    job_id uuid,
    task int,
    epoch int,
    created_at timestamptz not null default clock_timestamp(),
    check ((job_id is null) = (task is null) and (task is null) = (epoch is null))
);
create index upload_by_project on upload (project_id) where job_id is null;
create index upload_by_lease on upload (job_id, task, epoch) where job_id is not null;

-- Nodes ---------------------------------------------------------------------------------------------------------------

create table coordinator (
    id uuid primary key,
    key text not null,
    started_at timestamptz not null default clock_timestamp(),
    ticked_at timestamptz not null default clock_timestamp()
);

create table join_token (
    secret_hash bytea primary key check (length(secret_hash) = 32),
    project_id uuid not null references project,
    created_at timestamptz not null default clock_timestamp(),
    expires_at timestamptz not null,
    used_at timestamptz,
    used_by text
);

create table node (
    key text primary key,
    project_id uuid not null references project,
    name text not null,
    capabilities jsonb,
    rate bigint check (rate >= 0),
    fixed bigint check (fixed >= 0),
    agent_version text,
    draining boolean not null default false,
    earned bigint not null default 0 check (earned >= 0),
    enrolled_at timestamptz not null default clock_timestamp(),
    revoked_at timestamptz
);
create index node_by_project on node (project_id);

-- The narrow, hot part of a node: one row that heartbeats renew. `gap_ms` sums the time in which there was no sign of
-- life for longer than evidence allows; the difference of two readings is what may not be billed.
create table node_life (
    node text primary key references node,
    session uuid,
    coordinator_id uuid,
    last_seen_at timestamptz,
    alive_until timestamptz,
    gap_ms bigint not null default 0
) with (fillfactor = 50);

-- Jobs ----------------------------------------------------------------------------------------------------------------

create table job (
    id uuid primary key,
    project_id uuid not null references project,
    content_id bytea not null check (length(content_id) = 32),
    name text not null,
    document bytea not null,
    labels jsonb,
    size int not null check (size > 0),
    cap bigint not null check (cap >= 0),
    started boolean not null default false,
    succeeded int not null default 0,
    failed int not null default 0,
    cancelled int not null default 0,
    expired int not null default 0,
    held bigint not null check (held >= 0),
    spent bigint not null default 0 check (spent >= 0),
    state text not null default 'queued'
        check (state in ('queued', 'running', 'succeeded', 'failed', 'cancelled', 'expired')),
    submitted_at timestamptz not null default clock_timestamp(),
    cancel_requested_at timestamptz,
    ended_at timestamptz,
    check (succeeded + failed + cancelled + expired <= size),
    check (spent <= cap * size),
    check ((ended_at is not null) = (state in ('succeeded', 'failed', 'cancelled', 'expired'))),
    check (ended_at is null or held = 0)
) with (fillfactor = 70);
create index job_by_project on job (project_id, id desc);

-- Ready work, as ranges of task indices: an array is one row however large, until its tasks are leased.
create table queue (
    id bigint generated always as identity primary key,
    job_id uuid not null references job,
    first int not null check (first >= 0),
    beyond int not null,
    ready_at timestamptz not null default clock_timestamp(),
    shape bigint not null,
    remaining_cap bigint not null check (remaining_cap >= 0),
    check (first < beyond)
) with (fillfactor = 50);
create index queue_ready on queue (ready_at, id);
create index queue_by_job on queue (job_id);

-- A task gets its row when it is first leased.
create table task (
    job_id uuid not null references job,
    index int not null check (index >= 0),
    state text not null
        check (state in ('queued', 'leased', 'running', 'succeeded', 'failed', 'cancelled', 'expired')),
    epoch int not null check (epoch >= 0),
    infrastructure_failures int not null default 0,
    job_failures int not null default 0,
    spent bigint not null default 0 check (spent >= 0),
    primary key (job_id, index)
) with (fillfactor = 70);

create table attempt (
    job_id uuid not null,
    task int not null,
    epoch int not null check (epoch > 0),
    node text not null references node,
    state text not null check (state in ('leased', 'running', 'accepted', 'retried', 'lost')),
    leased_at timestamptz not null default clock_timestamp(),
    deadline_at timestamptz not null,
    started_at timestamptz,
    gap_ms bigint not null default 0,
    ended_at timestamptz,
    rate bigint not null,
    fixed bigint not null,
    remaining_cap bigint not null check (remaining_cap >= 0),
    cause text not null default '',
    detail text not null default '',
    primary key (job_id, task, epoch),
    foreign key (job_id, task) references task (job_id, index)
) with (fillfactor = 70);
create unique index attempt_accepted_once on attempt (job_id, task) where state = 'accepted';
create unique index attempt_live_once on attempt (job_id, task) where state in ('leased', 'running');
create index attempt_live_by_node on attempt (node) where state in ('leased', 'running');
create index attempt_by_node on attempt (node, leased_at);

-- One settlement an attempt, with the receipt that justifies it.
create table settlement (
    job_id uuid not null,
    task int not null,
    epoch int not null,
    node text not null,
    price bigint not null check (price >= 0),
    billed_ms bigint not null check (billed_ms >= 0),
    body bytea not null,
    node_signature bytea not null check (length(node_signature) = 64),
    decision bytea not null,
    coordinator_signature bytea not null check (length(coordinator_signature) = 64),
    settled_at timestamptz not null default clock_timestamp(),
    primary key (job_id, task, epoch),
    foreign key (job_id, task, epoch) references attempt (job_id, task, epoch)
);

create trigger settlement_is_history before update or delete or truncate on settlement
    for each statement execute function refuse_change();

-- Events --------------------------------------------------------------------------------------------------------------

-- Readers resume by (xid, seq) and read only what is older than every transaction still running, so that an event
-- whose transaction commits late is never skipped.
create table event (
    at timestamptz not null default clock_timestamp(),
    xid xid8 not null default pg_current_xact_id(),
    seq bigint generated always as identity,
    project_id uuid not null,
    kind text not null,
    job_id uuid,
    task int,
    epoch int,
    node text,
    data bytea
) partition by range (at);

create table event_default partition of event default;
create index event_by_project on event (project_id, xid, seq);
create index event_by_job on event (job_id, xid, seq);

-- Monthly partitions of the history tables for this month and the next; called at start and daily.
create function ensure_partitions() returns void language plpgsql as $$
declare
    parent text;
    month timestamptz;
    child text;
begin
    foreach parent in array array['transfer', 'event'] loop
        for i in 0..1 loop
            month := date_trunc('month', now() at time zone 'UTC') at time zone 'UTC' + make_interval(months => i);
            child := parent || '_' || to_char(month at time zone 'UTC', 'YYYYMM');
            if to_regclass(child) is null then
                begin
                    execute format('create table %I partition of %I for values from (%L) to (%L)',
                        child, parent, month, month + interval '1 month');
                exception when duplicate_table or check_violation then null; -- made meanwhile, or rows wait in the default
                end;
            end if;
        end loop;
    end loop;
end $$;

select ensure_partitions();
