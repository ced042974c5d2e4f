-- Makes a job of a schedule now, whatever its times and its pause are.
-- parameters: $1 name
-- rows: one if the schedule exists and its queue is this one: the id of the job that was made, or that of the unfinished one
--       that has the unique key; both null when that one was freed, or committed, in between: ask again
-- index: primary key; the unique one on unique_key
-- locks: the schedule, before the key as fire.sql does; waits for whoever has it locked, and for an open transaction that holds
--        the unique key
with wanted as (
    select * from {schema}.pg_queue_schedules where name = $1 and queue = '{queue_name}' for update
),
made as (
    insert into {queue} (kind, payload, priority, max_attempts, timeout_ms, tags, metadata, unique_key, unique_while_waiting)
    select kind, payload, priority, max_attempts, timeout_ms, tags, metadata, unique_key, unique_while_waiting
    from wanted
    on conflict (unique_key) where unique_key is not null do nothing
    returning id, run_at
),
noted as (
    update {schema}.pg_queue_schedules as schedule
    set last_at = made.run_at, last_job = made.id
    from made
    where schedule.name = $1
)
select made.id, held.id
from wanted
left join made on true
left join lateral (
    select job.id from {queue} as job where made.id is null and job.unique_key = wanted.unique_key limit 1
) as held on true
