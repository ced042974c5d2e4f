-- Deletes schedules that types of jobs had declared, and tells the workers. Those that were put by hand stay.
-- parameters: $1 names    rows: the names of those that were there    index: primary key
with gone as (
    delete from {schema}.pg_queue_schedules where name = any ($1) and declared returning name
)
select name, pg_notify('pg_queue.{schema_name}', 'cron') from gone
