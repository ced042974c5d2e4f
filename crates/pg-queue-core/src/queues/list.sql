-- The names of all queues.
-- parameters: none    rows: one per queue, by name    index: primary key
select name from {schema}.pg_queue_queues order by name
