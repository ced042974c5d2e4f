-- The names of all logs.
-- parameters: none    rows: one for each    index: none, they are few
select name from {schema}.pg_queue_logs order by name
