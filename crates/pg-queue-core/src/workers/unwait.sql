-- Takes the wish to be notified back.
-- parameters: $1 worker id    rows: none
delete from {schema}.pg_queue_waiters where worker = $1
