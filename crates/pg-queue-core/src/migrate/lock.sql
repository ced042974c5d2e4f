-- Makes two migrations of one schema wait for each other.
-- parameters: $1 schema    rows: one    locks: an advisory lock until the end of the transaction
select pg_advisory_xact_lock(hashtextextended('pg_queue_migrations ' || $1, 0))
