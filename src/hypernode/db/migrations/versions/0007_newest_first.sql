-- A row that changes with every batch leaves versions behind that vacuum removes, but not while somebody's old transaction
-- may still look at them; and whoever looks for the row by its key meets all of them first. So these rows are numbered anew
-- with every change, and looked for from the highest number down: the first that is met is the one there is.
-- Functions take them one by one: plans are kept, and a join that is planned for a handful of rows may read all versions.

-- Accounts -------------------------------------------------------------------------------------------------------------

drop trigger account_guard on account;
alter table account drop constraint account_once, drop constraint account_pkey, alter column id drop identity,
    add column version bigint not null default 0;

-- What an account is for, and whose: never changes, so that its id is found without its past, and there is one of each.
create table account_name (
    id bigint generated always as identity primary key,
    kind text not null,
    project_id uuid references project,
    constraint account_once unique nulls not distinct (project_id, kind)
);

insert into account_name (id, kind, project_id) overriding system value select id, kind, project_id from account;
select setval(pg_get_serial_sequence('account_name', 'id'), max(id)) from account_name;
alter table account add primary key (id, version), add foreign key (id) references account_name,
    reset (fillfactor); -- each version is somewhere else anyway

create trigger account_name_is_kept before update or delete or truncate on account_name
    for each statement execute function refuse_change();

create or replace function account_guard() returns trigger language plpgsql as $$
begin
    if tg_op = 'DELETE' then
        raise exception 'accounts are for ever' using errcode = 'integrity_constraint_violation';
    end if;
    if new.balance <> (case tg_op when 'UPDATE' then old.balance else 0 end) and current_setting('hypernode.transfer', true) is distinct from 'on' then
        raise exception 'balances change through transfers only' using errcode = 'integrity_constraint_violation';
    end if;
    if tg_op = 'INSERT' then
        insert into account_name (kind, project_id) values (new.kind, new.project_id) returning id into new.id;
        new.version := 0;
    elsif (new.id, new.kind, new.project_id) is distinct from (old.id, old.kind, old.project_id) then
        raise exception 'an account stays whose it is' using errcode = 'integrity_constraint_violation';
    else
        new.version := old.version + 1;
    end if;
    return new;
end $$;

create trigger account_guard before insert or update or delete on account for each row execute function account_guard();
create trigger account_is_kept before truncate on account for each statement execute function refuse_change();

-- What is in each account, for those who only read.
create view account_balance as
    select n.id, n.kind, n.project_id, a.balance
    from account_name n
    cross join lateral (select balance from account where id = n.id order by version desc limit 1) a;

create or replace function governance_adds_up() returns trigger language plpgsql as $$
declare
    wrong text;
begin
    select string_agg(a.kind, ', ') into wrong
    from governance g, account_balance a
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

-- As before, but that the accounts are found by their newest version, which stays the newest once it is locked.
create or replace function transfer_apply() returns trigger language plpgsql as $$
declare
    delta record;
    newest bigint;
begin
    perform set_config('hypernode.transfer', 'on', true);
    for delta in
        select id, sum(amount) as amount
        from (select debit as id, -amount as amount from fresh union all select credit, amount from fresh) moves
        group by id order by id
    loop
        select version into newest from account where id = delta.id order by version desc limit 1 for update;
        if not found then
            raise exception 'a transfer names an account that does not exist' using errcode = 'foreign_key_violation';
        end if;
        update account set balance = balance + delta.amount where id = delta.id and version = newest;
        if not found then
            raise exception 'balances did not follow the transfers' using errcode = 'integrity_constraint_violation';
        end if;
    end loop;
    perform set_config('hypernode.transfer', 'off', true);
    return null;
end $$;

-- Earnings -------------------------------------------------------------------------------------------------------------

-- What a node earned in all, apart from the node, which is looked up everywhere and hardly ever changes.
create table earning (
    node text not null references node,
    version bigint not null default 0,
    amount bigint not null check (amount >= 0),
    primary key (node, version)
);
insert into earning (node, amount) select key, earned from node where earned > 0;
alter table node drop column earned;

-- What is inserted is added to what there is. The node is held meanwhile, so that two who pay it follow each other.
create function earning_grows() returns trigger language plpgsql as $$
declare
    newest record;
begin
    perform 1 from node where key = new.node for no key update;
    select version, amount into newest from earning where node = new.node order by version desc limit 1;
    if found then
        delete from earning where node = new.node and version = newest.version;
        new.version := newest.version + 1;
        new.amount := newest.amount + new.amount;
    end if;
    return new;
end $$;

create trigger earning_grows before insert on earning for each row execute function earning_grows();
