-- Ends a worker's own registration. With jobs left it is marked dead instead of removed, so that others take them.
-- parameters: $1 id, $2 whether it may still hold jobs    rows: none    index: primary key
with left_behind as (
    update {schema}.pg_queue_workers set dead_at = now() where id = $1 and $2 and dead_at is null
)
delete from {schema}.pg_queue_workers where id = $1 and not $2 and dead_at is null
