-- A worker's sign of life. On disk when it is answered, so that a crash of the server does not take it back: whoever watches
-- may go on watching from where he was. It does not wait for a standby; after a failover everybody begins to watch anew.
-- parameters: $1 id    rows: one while the worker is not declared dead    index: primary key
update {schema}.pg_queue_workers
set beat = beat + 1
where id = $1 and dead_at is null
returning set_config('synchronous_commit', 'local', true)
