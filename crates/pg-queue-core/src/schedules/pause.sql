-- Pauses a schedule, and tells the workers.
-- parameters: $1 name    rows: one if it exists    index: primary key
with paused as (
    update {schema}.pg_queue_schedules set paused_at = coalesce(paused_at, {now}) where name = $1 returning name
)
select pg_notify('pg_queue.{schema_name}', 'cron') from paused
