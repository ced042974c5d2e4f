-- A worker's sign of life. May be lost in a crash of the server, hence without waiting for the disk.
-- parameters: $1 id    rows: one while the worker is not declared dead    index: primary key
update {schema}.pg_queue_workers
set beat = beat + 1
where id = $1 and dead_at is null
returning set_config('synchronous_commit', 'off', true)
