-- Jobs: one table per queue, each a list partition of pg_queue_jobs.
--
-- The parent serves migrations (one ALTER reaches every queue) and operators. The hot statements name the partition.

-- The clock of jobs: when they are due, were enqueued, have finished. Every statement and function of pg-queue asks this
-- one, so that tests can put another in its place and move time. It is inlined, so that a plan shows now() and an index
-- serves it; that needs it to be STABLE and a single expression. What is about living processes (heartbeats, the wish to be
-- woken) goes by now() itself.
create function {schema}.pg_queue_now() returns timestamptz
language sql stable parallel safe
as $$ select now() $$;

-- One sequence for all queues, so that an id names a job whatever its queue. A default, not an identity column:
-- identity on partitioned tables exists only from PostgreSQL 17 on.
create sequence {schema}.pg_queue_job_ids as bigint;

-- What the columns of a job may hold, as domains and not as constraints of the tables: a table's constraints are read from the
-- catalog and checked again by every statement that changes a row, whatever it changes. The eight of them cost a claim of
-- one job 26 of its 61 us. A domain is checked only where a value of it is made.
create domain {schema}.pg_queue_max_attempts as smallint constraint max_attempts_range check (value >= 1);
create domain {schema}.pg_queue_priority as smallint constraint priority_range check (value between 0 and 9);
create domain {schema}.pg_queue_progress as real constraint progress_range check (value between 0 and 1);
create domain {schema}.pg_queue_timeout_ms as bigint constraint timeout_range check (value >= 0);
create domain {schema}.pg_queue_kind as text constraint kind_length check (octet_length(value) between 1 and 100);
create domain {schema}.pg_queue_unique_key as text constraint unique_key_length check (octet_length(value) <= 512);
create domain {schema}.pg_queue_tags as text[]
    constraint tags_length check (cardinality(value) between 1 and 32)
    constraint tags_list check (array_ndims(value) = 1 and array_lower(value, 1) = 1 and array_position(value, null) is null);

-- Fixed-width columns first, payload last, and what a claim writes side by side: the log then holds that part alone,
-- and not the payload.
create table {schema}.pg_queue_jobs (
    id bigint not null default nextval('{schema}.pg_queue_job_ids'),
    -- When the job may run; the database's clock decides.
    run_at timestamptz not null default {now},
    created_at timestamptz not null default {now},
    -- A running job has a lease: a token of 64 random bits, drawn anew by every claim, and either the worker whose
    -- heartbeat keeps it alive or, for a hand-driven consumer, the time until which it stands.
    -- These four and `attempt` are in no index, so that a claim is a HOT update.
    leased_at timestamptz,
    lease_worker bigint,
    lease_token bigint,
    lease_until timestamptz,
    attempt smallint not null default 0,
    max_attempts {schema}.pg_queue_max_attempts not null default 20,
    priority {schema}.pg_queue_priority not null default 5,
    -- Whether the unique key is given up when the job starts, and not when it ends.
    unique_while_waiting boolean,
    -- How far a running job says that it has come.
    progress {schema}.pg_queue_progress,
    -- How long one attempt may run; 0 is without limit, null leaves it to the kind.
    timeout_ms {schema}.pg_queue_timeout_ms,
    -- Set while the job ran and somebody wanted it cancelled: whatever ends the attempt, the job is not tried again.
    cancel_requested_at timestamptz,
    -- Why the job may not run for a reason other than time; null when it may. A parked job is not in the index that
    -- claims walk, so any number of them costs a claim nothing. 'kind': no live worker runs its kind.
    parked text,
    -- Names the caller that waits for a reply; null for all but requests.
    request_id uuid,
    queue text not null,
    kind {schema}.pg_queue_kind not null default 'raw',
    unique_key {schema}.pg_queue_unique_key,
    tags {schema}.pg_queue_tags,
    -- What went wrong in earlier attempts: an array of {at, attempt, error, worker, duration_ms}.
    errors jsonb,
    -- What the enqueuer wants the job to carry beside its payload, such as its trace context: an object.
    metadata json,
    progress_note text,
    -- `json`, not `jsonb`: cheaper to insert, and it takes the escape \u0000.
    payload json not null
) partition by list (queue);

-- The queues that exist, and how workers are to treat them. A name is here exactly while its partition is.
create table {schema}.pg_queue_queues (
    name text primary key,
    created_at timestamptz not null default {now},
    -- Nothing is claimed from a paused queue. What runs goes on.
    paused_at timestamptz,
    -- How many jobs of the queue one worker runs at once; null leaves it to the worker.
    concurrency integer constraint concurrency_range check (concurrency between 1 and 1000000),
    -- How long finished jobs are kept in the history. Completed ones: null is not at all, unless their kind asks for it.
    keep_completed interval constraint keep_completed_range check (keep_completed > interval '0'),
    keep_discarded interval not null default interval '7 days'
        constraint keep_discarded_range check (keep_discarded >= interval '0')
);

-- Wakes the workers that wait for the queue. One per statement, and it only reads: a producer that wrote the waiters'
-- rows would make the next producer wait for its commit. SECURITY DEFINER, because a producer may have nothing but
-- INSERT on its queue. A job that commits unseen by this look is found by the workers' next poll.
--
-- Runs for every insert, so it has no `set search_path`, which would take most of its time (10 of 13 us). Everything in it
-- names its schema instead, the operators too: the caller's search_path decides nothing.
create function {schema}.pg_queue_wake() returns trigger
language plpgsql security definer
as $$
begin
    if exists (
        select from {schema}.pg_queue_waiters as waiter
        where waiter.queue operator(pg_catalog.=) tg_argv[0] and waiter.until operator(pg_catalog.>) pg_catalog.now()
    ) then
        perform pg_catalog.pg_notify(
            'pg_queue.' operator(pg_catalog.||) tg_table_schema, 'wake:' operator(pg_catalog.||) tg_argv[0]
        );
    end if;
    return null;
end
$$;

-- The same for whoever inserts through the parent: the statement triggers of the partitions do not fire then.
create function {schema}.pg_queue_wake_many() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    perform pg_notify('pg_queue.' || tg_table_schema, 'wake:' || waiting.queue)
    from (
        select distinct queue from {schema}.pg_queue_waiters
        where until > now() and queue in (select queue from inserted)
    ) as waiting;
    return null;
end
$$;

create trigger pg_queue_wake after insert on {schema}.pg_queue_jobs
referencing new table as inserted
for each statement execute function {schema}.pg_queue_wake_many();

-- A worker's id as logs and errors show it.
create function {schema}.pg_queue_worker_name(worker bigint) returns text
language sql immutable parallel safe
as $$ select lpad(to_hex(worker), 16, '0') $$;

-- A job's errors with one more. The last hundred are kept: a job that is tried for months must not grow without end.
create function {schema}.pg_queue_add_error(
    errors jsonb, attempt smallint, error text, worker bigint, duration_ms bigint
) returns jsonb
language sql stable
as $$
    select case
        when errors is null then '[]'::jsonb
        when jsonb_array_length(errors) >= 100 then errors - 0
        else errors
    end || jsonb_build_array(jsonb_build_object(
        'at', {now},
        'attempt', attempt,
        'error', error,
        'worker', {schema}.pg_queue_worker_name(worker),
        'duration_ms', duration_ms
    ))
$$;

-- Whole milliseconds from a moment until now; null when there is none.
create function {schema}.pg_queue_ms_since(moment timestamptz) returns bigint
language sql stable parallel safe
as $$ select (extract(epoch from {now} - moment) * 1000)::bigint $$;
