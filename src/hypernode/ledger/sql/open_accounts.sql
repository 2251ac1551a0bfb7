-- The two accounts of a new project: its money, and what is held for its jobs.
insert into account (kind, project_id) values ('available', $1), ('escrow', $1)
