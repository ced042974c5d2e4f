-- Puts a schedule in the place of an earlier one of its name, and tells the workers.
-- parameters: $1 name, $2 queue, $3 kind, $4 cron expression, $5 time zone, $6 what becomes of missed times, $7 how many are
--             made up for or null, $8 the next time in microseconds since 2000-01-01 UTC, $9 whether a type of job declares it,
--             $10 priority, $11 max_attempts, $12 timeout in milliseconds or null, $13 unique key or null, $14 whether it is
--             given up when a job starts, or null, $15 tags as an array's literal or null, $16 metadata or null, $17 payload
-- rows: the next time; none when the one that is there was put by hand and this one is declared: then that one stays
-- index: primary key    locks: the row, waiting for whoever has locked it
--
-- The next time of a schedule whose times stay the same stays as well: a worker that starts anew after it was away has to find
-- what it has missed.
with stored as (
    insert into {schema}.pg_queue_schedules as old (name, queue, kind, cron, timezone, missed, catch_up, next_at, declared,
        priority, max_attempts, timeout_ms, unique_key, unique_while_waiting, tags, metadata, payload)
    values ($1, $2, $3, $4, $5, $6, $7, timestamptz '2000-01-01 00:00:00+00' + $8 * interval '1 microsecond', $9,
        $10, $11, $12, $13, $14, $15::text[], $16::json, $17::json)
    on conflict (name) do update
    set queue = excluded.queue, kind = excluded.kind, cron = excluded.cron, timezone = excluded.timezone,
        missed = excluded.missed, catch_up = excluded.catch_up, declared = excluded.declared,
        priority = excluded.priority, max_attempts = excluded.max_attempts, timeout_ms = excluded.timeout_ms,
        unique_key = excluded.unique_key, unique_while_waiting = excluded.unique_while_waiting,
        tags = excluded.tags, metadata = excluded.metadata, payload = excluded.payload, updated_at = {now},
        next_at = case
            when old.cron = excluded.cron and old.timezone = excluded.timezone then old.next_at
            else excluded.next_at
        end
    where old.declared or not excluded.declared
    returning next_at
)
select next_at, pg_notify('pg_queue.{schema_name}', 'cron') from stored
