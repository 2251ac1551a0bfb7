-- Accounts ------------------------------------------------------------------------------------------------------------

-- A network that has issued more before keeps what it has, and issues no more.
alter table account drop constraint account_kind_check,
    add constraint account_kind_check check (kind in (
        'available', 'escrow', 'issuance', 'treasury', 'incentive', 'stakers',
        'staked', 'bonded', 'vesting', 'operations', 'burned')),
    add constraint supply_is_bounded check (kind <> 'issuance' or balance >= -1000000000000000) not valid;

insert into account (kind) values ('staked'), ('bonded'), ('vesting'), ('operations'), ('burned');

create function refuse_unburning() returns trigger language plpgsql as $$
begin
    raise exception 'what is burned stays burned' using errcode = 'integrity_constraint_violation';
end $$;

create trigger burned_stays_burned before update on account
    for each row when (old.kind = 'burned' and new.balance < old.balance) execute function refuse_unburning();

-- The one row that every act of governance locks: sums, rewards, parameters, and a height that counts the acts. `head` is a hash
-- over all of them and their times, begun at random, so that nobody can know the next one.
create table governance (
    id boolean primary key default true check (id),
    height bigint not null default 0 check (height >= 0),
    head bytea not null default sha256(convert_to(gen_random_uuid()::text, 'UTF8')) check (length(head) = 32),
    at timestamptz not null default clock_timestamp(),
    staked bigint not null default 0 check (staked >= 0),
    weight bigint not null default 0 check (weight >= 0),
    accumulator numeric(39, 0) not null default 0 check (accumulator >= 0),
    held bigint not null default 0 check (held >= 0),
    distributed bigint not null default 0 check (distributed >= 0),
    paid bigint not null default 0 check (paid >= 0),
    bonded bigint not null default 0 check (bonded >= 0),
    parameters jsonb not null default '{}',
    check (distributed = held + paid)
);
insert into governance default values;

-- Stakes --------------------------------------------------------------------------------------------------------------

create table stake (
    id uuid primary key,
    owner uuid not null references project,
    state text not null check (state in ('active', 'unstaking', 'withdrawn')),
    days int not null check (days between 14 and 365),
    amount bigint not null check (amount >= 0),
    weight bigint not null check (weight >= 0),
    weight_height bigint not null,
    previous_weight bigint not null check (previous_weight >= 0),
    previous_height bigint not null,
    earned bigint not null check (earned >= 0),
    snapshot numeric(39, 0) not null check (snapshot >= 0),
    claimed bigint not null check (claimed >= 0),
    reports int not null check (reports >= 0),
    locked_at timestamptz not null,
    free_at timestamptz,
    check (state = 'active' or weight = 0),
    check (state <> 'withdrawn' or (amount = 0 and reports = 0)),
    check ((state = 'active') = (free_at is null)),
    check (previous_height <= weight_height)
);
create index stake_by_owner on stake (owner, id);
create index stake_by_amount on stake (amount) where state = 'active';

create trigger stake_is_kept before delete or truncate on stake for each statement execute function refuse_change();

-- Proposals -----------------------------------------------------------------------------------------------------------

create table proposal (
    id uuid primary key,
    proposer uuid not null references project,
    kind text not null check (kind in ('market_parameter', 'staking_parameter', 'treasury_spend', 'text')),
    title text not null check (octet_length(title) between 1 and 100),
    payload bytea not null check (length(payload) <= 256),
    rules jsonb not null,
    state text not null check (state in ('draft', 'active', 'defeated', 'queued', 'executed', 'expired', 'cancelled')),
    created_at timestamptz not null,
    activated_at timestamptz,
    activated_height bigint not null,
    total_weight bigint not null check (total_weight >= 0),
    votes_for bigint not null check (votes_for >= 0),
    votes_against bigint not null check (votes_against >= 0),
    votes_abstain bigint not null check (votes_abstain >= 0),
    queued_at timestamptz,
    due_at timestamptz,
    check (votes_for + votes_against + votes_abstain <= total_weight)
);
create index proposal_due on proposal (due_at) where due_at is not null;
create index proposal_by_proposer on proposal (proposer) where state in ('draft', 'active', 'queued');

create trigger proposal_is_kept before delete or truncate on proposal for each statement execute function refuse_change();

create table vote (
    proposal_id uuid not null references proposal,
    stake_id uuid not null references stake,
    voter uuid not null,
    weight bigint not null check (weight > 0),
    choice text not null check (choice in ('for', 'against', 'abstain')),
    at timestamptz not null,
    primary key (proposal_id, voter, stake_id)
);
create trigger vote_is_history before update or delete or truncate on vote
    for each statement execute function refuse_change();

-- Cases ---------------------------------------------------------------------------------------------------------------

create table slashing_case (
    id uuid primary key,
    reporter uuid not null references project,
    stake_id uuid not null references stake,
    accused uuid not null references project,
    kind text not null check (kind in ('timeout', 'offline', 'repeated_failures', 'invalid_result', 'forgery')),
    evidence bytea not null check (length(evidence) = 32),
    bps int not null check (bps between 1 and 5000),
    bond bigint not null check (bond >= 0),
    rules jsonb not null,
    state text not null
        check (state in ('waiting', 'voting', 'confirmed', 'upheld', 'dismissed', 'overturned', 'executed')),
    round int not null check (round in (1, 2)),
    reported_at timestamptz not null,
    reported_height bigint not null,
    drawn_at timestamptz,
    drawn_height bigint not null,
    height_hash bytea not null,
    confirmed_at timestamptz,
    panel jsonb not null,
    first jsonb not null,
    due_at timestamptz,
    check ((bond = 0) = (state in ('dismissed', 'overturned', 'executed'))),
    check ((due_at is null) = (state in ('dismissed', 'overturned', 'executed')))
);
create index slashing_case_due on slashing_case (due_at) where due_at is not null;

create trigger slashing_case_is_kept before delete or truncate on slashing_case
    for each statement execute function refuse_change();

-- Supply --------------------------------------------------------------------------------------------------------------

create table vesting (
    id boolean primary key default true check (id),
    start_at timestamptz not null,
    cycles int not null check (cycles between 0 and 12),
    left_amount bigint not null check (left_amount >= 0)
);

create table unlock (
    cycle int primary key check (cycle >= 0),
    at timestamptz not null,
    amount bigint not null check (amount > 0),
    burned bigint not null check (burned >= 0),
    stakers bigint not null check (stakers >= 0),
    operations bigint not null check (operations >= 0),
    check (burned + stakers + operations = amount)
);
create trigger unlock_is_history before update or delete or truncate on unlock
    for each statement execute function refuse_change();

create table burn (
    index bigint primary key check (index >= 0),
    at timestamptz not null,
    cycle int not null check (cycle >= 0),
    amount bigint not null check (amount > 0),
    cumulative bigint not null check (cumulative >= amount),
    reference text not null check (octet_length(reference) <= 32)
);
create trigger burn_is_history before update or delete or truncate on burn
    for each statement execute function refuse_change();

-- At the end of every act of governance its sums are those of the ledger, or nothing of it happens.
create function governance_adds_up() returns trigger language plpgsql as $$
declare
    wrong text;
begin
    select string_agg(a.kind, ', ') into wrong
    from governance g, account a
    where a.project_id is null and (
        (a.kind = 'staked' and a.balance <> g.staked)
        or (a.kind = 'bonded' and a.balance <> g.bonded)
        or (a.kind = 'stakers' and a.balance < g.held)
        or (a.kind = 'vesting' and a.balance <> coalesce((select left_amount from vesting), 0))
        or (a.kind = 'burned'
            and a.balance <> coalesce((select cumulative from burn order by index desc limit 1), 0)));
    if wrong is not null then
        raise exception 'governance and ledger differ about %', wrong using errcode = 'integrity_constraint_violation';
    end if;
    return null;
end $$;

create constraint trigger governance_adds_up after update on governance deferrable initially deferred
    for each row execute function governance_adds_up();
