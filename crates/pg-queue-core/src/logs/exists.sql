-- Whether there is such a log.
-- parameters: $1 name    rows: one    index: primary key
select exists (select from {schema}.pg_queue_logs where name = $1)
