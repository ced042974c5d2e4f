-- One schedule.
-- parameters: $1 name    rows: one or none, as in list.sql    index: primary key
select name, queue, kind, cron, timezone, missed, catch_up, unique_key, declared, paused_at, next_at, last_at, last_job,
    created_at, updated_at, {now}, priority, max_attempts, timeout_ms, tags, metadata::text, payload::text
from {schema}.pg_queue_schedules
where name = $1
