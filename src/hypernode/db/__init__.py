"""PostgreSQL: the embedded server, the pool, statements as files, coalesced writes, migrations."""
