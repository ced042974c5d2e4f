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
    max_attempts smallint not null default 20 constraint max_attempts_range check (max_attempts >= 1),
    priority smallint not null default 5 constraint priority_range check (priority between 0 and 9),
    -- Whether it belongs to a type of job: workers that know the type put it and remove it.
    declared boolean not null default false,
    unique_while_waiting boolean,
    timeout_ms bigint constraint timeout_range check (timeout_ms >= 0),
    -- What becomes of times that were missed.
    missed text not null default 'once' constraint missed_known check (missed in ('skip', 'once', 'all')),
    queue text not null,
    kind text not null constraint kind_length check (octet_length(kind) between 1 and 100),
    cron text not null constraint cron_length check (octet_length(cron) between 1 and 500),
    timezone text not null default 'UTC' constraint timezone_length check (octet_length(timezone) between 1 and 100),
    -- The rest is what its jobs get.
    unique_key text constraint unique_key_length check (octet_length(unique_key) <= 512),
    tags text[] constraint tags_length check (cardinality(tags) between 1 and 32)
        constraint tags_list check (array_ndims(tags) = 1 and array_lower(tags, 1) = 1 and array_position(tags, null) is null),
    metadata json,
    payload json not null,
    constraint catch_up_given check ((missed = 'all') = (catch_up is not null))
);

create index pg_queue_schedules_next_at on {schema}.pg_queue_schedules (next_at) where paused_at is null;
