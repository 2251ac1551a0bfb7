-- The position of "now": whoever starts here reads what comes, not what was.
select pg_snapshot_xmin(pg_current_snapshot())::text as xid
