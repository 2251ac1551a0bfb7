-- Documents ------------------------------------------------------------------------------------------------------------

-- A document never changes, and its content id is the SHA-256 of its bytes: equal documents are kept once, and the row
-- of a job, which changes with each of its tasks, does not carry its document along. A job's document is written in the
-- transaction that writes the job, or was before; documents must not go away.
create table document (
    content_id bytea primary key check (length(content_id) = 32),
    data bytea not null
);
insert into document (content_id, data) select distinct on (content_id) content_id, document from job;
alter table job drop column document;

create trigger document_is_history before update or delete or truncate on document
    for each statement execute function refuse_change();

-- Room -----------------------------------------------------------------------------------------------------------------

-- What changes once or twice in its life finds room for that beside itself: the row is changed in place, and no index
-- hears of it. Batches of new rows fill pages to this mark before any of them changes.
alter table job set (fillfactor = 40);
alter table task set (fillfactor = 45);
alter table attempt set (fillfactor = 45);
