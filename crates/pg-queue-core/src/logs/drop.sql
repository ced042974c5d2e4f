-- Drops a log with its messages and groups.
-- parameters: $1 name    rows: one, whether there was one    locks: access exclusive on the log
select {schema}.pg_queue_drop_log($1)
