-- Enters a worker process, before its first claim. On disk when it is answered, like a beat and for the same reason.
-- parameters: $1 id, $2 name, $3 queues, $4 kinds, $5 milliseconds between beats    rows: one, without meaning
insert into {schema}.pg_queue_workers (id, name, queues, kinds, beat_interval_ms)
values ($1, $2, $3, $4, $5)
returning set_config('synchronous_commit', 'local', true)
