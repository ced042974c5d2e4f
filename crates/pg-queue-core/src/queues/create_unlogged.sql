-- Makes a queue without a log; does nothing when it exists.
-- parameters: $1 name    rows: one    locks: share update exclusive on the parent, for a moment
select {schema}.pg_queue_create_unlogged_queue($1)
