-- Makes the jobs of a schedule for times that have come, and moves its next time on.
-- parameters: $1 name, $2 the next time as it was read, $3 cron expression and $4 time zone as they were read, $5 the times
--             for which jobs are made, $6 the next time after them; all times in microseconds since 2000-01-01 UTC
-- rows: (id, time) of each job that was made, the earliest first; a row of nulls when the next time was moved and no job was
--       made; none when somebody else was first, or the schedule is another one than was read
-- index: primary key; the unique one on unique_key
-- locks: the schedule, passing over it when it is locked: whoever has it locked is about to do this or to change it. The jobs
--        wait for an open transaction that holds their unique key.
--
-- Compare and set: the row is locked first, in its latest version, and only what was found so makes jobs. Of several workers
-- at the same time one gets the row; those that come later find another next time. The payload and all else is that of the
-- moment, not that of the look.
with won as (
    select *
    from {schema}.pg_queue_schedules
    where name = $1 and next_at = timestamptz '2000-01-01 00:00:00+00' + $2 * interval '1 microsecond'
      and cron = $3 and timezone = $4 and queue = '{queue_name}' and paused_at is null
    for update skip locked
),
made as (
    insert into {queue} (run_at, kind, payload, priority, max_attempts, timeout_ms, tags, metadata, unique_key,
        unique_while_waiting)
    select
        timestamptz '2000-01-01 00:00:00+00' + time.micros * interval '1 microsecond', won.kind, won.payload, won.priority,
        won.max_attempts, won.timeout_ms, won.tags, won.metadata, won.unique_key, won.unique_while_waiting
    from won
    cross join unnest($5::bigint[]) with ordinality as time (micros, position)
    order by time.position
    on conflict (unique_key) where unique_key is not null do nothing
    returning id, run_at
),
last as (
    select id, run_at from made order by run_at desc, id desc limit 1
),
moved as (
    update {schema}.pg_queue_schedules
    set next_at = timestamptz '2000-01-01 00:00:00+00' + $6 * interval '1 microsecond',
        last_at = coalesce((select last.run_at from last), last_at),
        last_job = coalesce((select last.id from last), last_job)
    where name = any (array(select won.name from won))
    returning name
)
select made.id, made.run_at from moved left join made on true order by made.run_at, made.id
