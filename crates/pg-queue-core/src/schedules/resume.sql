-- Lets a paused schedule go on, and tells the workers.
-- parameters: $1 name, $2 cron expression and $3 time zone as they were read, $4 the next time by them in microseconds since
--             2000-01-01 UTC
-- rows: one if it was paused and they are the same    index: primary key
with resumed as (
    update {schema}.pg_queue_schedules
    set paused_at = null, next_at = timestamptz '2000-01-01 00:00:00+00' + $4 * interval '1 microsecond'
    where name = $1 and cron = $2 and timezone = $3 and paused_at is not null
    returning name
)
select pg_notify('pg_queue.{schema_name}', 'cron') from resumed
