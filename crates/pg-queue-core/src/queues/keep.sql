-- Sets for how long a queue's finished jobs are kept from now on, and tells the workers.
-- parameters: $1 name, $2 completed ones and $3 discarded and cancelled ones, in microseconds; a null completed is not at all
-- rows: one if the queue exists    index: primary key
with changed as (
    update {schema}.pg_queue_queues
    set keep_completed = $2 * interval '1 microsecond', keep_discarded = $3 * interval '1 microsecond'
    where name = $1
    returning name
)
select pg_notify('pg_queue.{schema_name}', 'queue:' || name) from changed
