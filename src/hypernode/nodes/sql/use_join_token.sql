-- A token enrols one node once; asking again with the same key gets the same answer, should the first have been lost.
update join_token set used_at = coalesce(used_at, clock_timestamp()), used_by = $2
where secret_hash = $1 and (used_by is null and expires_at > clock_timestamp() or used_by = $2)
returning project_id
