-- Enters a worker process. Commits synchronously, before the first claim.
-- parameters: $1 id, $2 name, $3 queues, $4 kinds, $5 milliseconds between beats    rows: none
insert into {schema}.pg_queue_workers (id, name, queues, kinds, beat_interval_ms)
values ($1, $2, $3, $4, $5)
