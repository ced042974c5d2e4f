-- Stops or resumes claims from a queue, and tells the workers.
-- parameters: $1 name, $2 whether to pause    rows: one if the queue exists    index: primary key
--
-- A claim looks at this by itself, so that none begins after the commit. The workers are told all the same, so that they do
-- not ask to be woken for jobs that they may not take, and are at once there when they may.
with changed as (
    update {schema}.pg_queue_queues
    set paused_at = case when $2 then coalesce(paused_at, {now}) end
    where name = $1
    returning name
)
select pg_notify('pg_queue.{schema_name}', 'queue:' || name) from changed
