-- It could not be carried out just now; it is looked at again later.
update proposal set due_at = $2 where id = $1 and state = 'queued'
