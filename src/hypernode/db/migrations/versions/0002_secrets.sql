-- What opens private registries. `sealed` is ciphertext: its key is a file of the coordinator's, not in the database.
create table secret (
    project_id uuid not null references project,
    name text not null check (name ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$'),
    kind text not null check (kind in ('registry')),
    registry text not null,
    sealed bytea not null check (length(sealed) <= 65536),
    created_at timestamptz not null default clock_timestamp(),
    updated_at timestamptz not null default clock_timestamp(),
    primary key (project_id, name)
);
