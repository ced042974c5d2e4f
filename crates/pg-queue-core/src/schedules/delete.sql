-- Deletes a schedule, and tells the workers.
-- parameters: $1 name    rows: one if it was there    index: primary key
with gone as (
    delete from {schema}.pg_queue_schedules where name = $1 returning name
)
select pg_notify('pg_queue.{schema_name}', 'cron') from gone
