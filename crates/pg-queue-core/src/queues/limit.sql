-- Sets how many jobs of a queue one worker runs at once, and tells the workers.
-- parameters: $1 name, $2 how many, or null for what each worker was built with    rows: one if the queue exists
-- index: primary key
with changed as (
    update {schema}.pg_queue_queues set concurrency = $2 where name = $1 returning name
)
select pg_notify('pg_queue.{schema_name}', 'queue:' || name) from changed
