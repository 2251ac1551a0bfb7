-- Ready work by project and turn, so that a look at the queue sees the front of every project's line. A turn is the time
-- of submission plus `turn_s`, which priority and timeout make; tasks that are tried again keep that of their job.
alter table job add column turn_s float8 not null default 0;

alter table queue add column project_id uuid references project, add column turn_at timestamptz;
update queue q set project_id = j.project_id, turn_at = j.submitted_at from job j where j.id = q.job_id;
alter table queue alter column project_id set not null, alter column turn_at set not null;

drop index queue_ready;
create index queue_by_turn on queue (project_id, turn_at, id);
