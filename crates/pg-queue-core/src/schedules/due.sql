-- The schedules one of whose times has come.
-- parameters: $1 the kinds that they make (null: any), $2 the queues that they make them into (null: any)
-- rows: (name, queue, cron expression, time zone, what becomes of missed times, how many are made up for, the time, what the
--       clock shows), the longest due first
-- index: pg_queue_schedules_next_at
select name, queue, cron, timezone, missed, catch_up, next_at, {now}
from {schema}.pg_queue_schedules
where next_at <= {now} and paused_at is null
  and ($1::text[] is null or kind = any ($1))
  and ($2::text[] is null or queue = any ($2))
order by next_at, name
