-- Schedules: jobs that are made by themselves, at the times of a cron expression.
--
-- What the expression means is known to the library and not to the database: it stores the next time, and whoever makes the
-- jobs of that time moves it on, by compare and set. So of many that see a time come one makes its jobs.
create table {schema}.pg_queue_schedules (
    name text primary key constraint name_length check (octet_length(name) between 1 and 100),
    -- The first time for which no job was made yet. It may lie in the past: then that one is due, and perhaps others.
    next_at timestamptz not null,
    -- The time for which the last job was made, and that job.
    last_at timestamptz,
    last_job bigint,
    -- No time comes while this is set.
    paused_at timestamptz,
    created_at timestamptz not null default {now},
    -- When somebody last put it.
    updated_at timestamptz not null default {now},
    -- How many missed times are made up for; null unless all of them are.
    catch_up integer constraint catch_up_range check (catch_up between 1 and 10000),
    max_attempts {schema}.pg_queue_max_attempts not null default 20,
    priority {schema}.pg_queue_priority not null default 5,
    -- Whether it belongs to a type of job: workers that know the type put it and remove it.
    declared boolean not null default false,
    unique_while_waiting boolean,
    timeout_ms {schema}.pg_queue_timeout_ms,
    -- What becomes of times that were missed.
    missed text not null default 'once' constraint missed_known check (missed in ('skip', 'once', 'all')),
    queue text not null,
    kind {schema}.pg_queue_kind not null,
    cron text not null constraint cron_length check (octet_length(cron) between 1 and 500),
    timezone text not null default 'UTC' constraint timezone_length check (octet_length(timezone) between 1 and 100),
    -- The rest is what its jobs get.
    unique_key {schema}.pg_queue_unique_key,
    tags {schema}.pg_queue_tags,
    metadata json,
    payload json not null,
    constraint catch_up_given check ((missed = 'all') = (catch_up is not null))
);

create index pg_queue_schedules_next_at on {schema}.pg_queue_schedules (next_at) where paused_at is null;
