-- Drops a queue.
-- parameters: $1 name, $2 whether to drop it with unfinished jobs    rows: one boolean: whether there was one
-- locks: access exclusive on the queue and, for a moment, on the parent
select {schema}.pg_queue_drop_queue($1, $2)
