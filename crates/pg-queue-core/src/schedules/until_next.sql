-- How long until the next time of a schedule that has not come yet.
-- parameters: $1 the kinds that schedules make (null: any)
-- rows: one: microseconds, or null when there is none    index: pg_queue_schedules_next_at
select (extract(epoch from min(next_at) - {now}) * 1000000)::bigint
from {schema}.pg_queue_schedules
where next_at > {now} and next_at < 'infinity' and paused_at is null and ($1::text[] is null or kind = any ($1))
