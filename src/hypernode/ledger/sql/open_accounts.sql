-- The two accounts of a project: its money, and what is held for its jobs.
insert into account (kind, project_id) values ('available', $1), ('escrow', $1) on conflict do nothing
