select count(*) from proposal where proposer = $1 and state in ('draft', 'active', 'queued')
