-- Jobs: one table per queue, each a list partition of pg_queue_jobs.
--
-- The parent serves migrations (one ALTER reaches every queue) and operators. The hot statements name the partition.

-- One sequence for all queues, so that an id names a job whatever its queue. A default, not an identity column:
-- identity on partitioned tables exists only from PostgreSQL 17 on.
create sequence {schema}.pg_queue_job_ids as bigint;

-- Fixed-width columns first, payload last.
create table {schema}.pg_queue_jobs (
    id bigint not null default nextval('{schema}.pg_queue_job_ids'),
    -- When the job may run; the database's clock decides.
    run_at timestamptz not null default now(),
    created_at timestamptz not null default now(),
    -- A running job has a lease: a token of 64 random bits, drawn anew by every claim, and either the worker whose
    -- heartbeat keeps it alive or, for a hand-driven consumer, the time until which it stands.
    -- These three and `attempt` are in no index, so that a claim is a HOT update.
    lease_worker bigint,
    lease_token bigint,
    lease_until timestamptz,
    priority smallint not null default 5 constraint priority_range check (priority between 0 and 9),
    attempt smallint not null default 0,
    max_attempts smallint not null default 20 constraint max_attempts_range check (max_attempts >= 1),
    -- Why the job may not run for a reason other than time; null when it may. A parked job is not in the index that
    -- claims walk, so any number of them costs a claim nothing.
    parked text,
    -- Names the caller that waits for a reply; null for all but requests.
    request_id uuid,
    queue text not null,
    kind text not null default 'raw' constraint kind_length check (octet_length(kind) between 1 and 100),
    unique_key text constraint unique_key_length check (octet_length(unique_key) <= 512),
    -- What went wrong in earlier attempts: an array of {at, attempt, error}.
    errors jsonb,
    -- `json`, not `jsonb`: cheaper to insert, and it takes the escape \u0000.
    payload json not null
) partition by list (queue);

-- The queues that exist. A name is here exactly while its partition is.
create table {schema}.pg_queue_queues (
    name text primary key,
    created_at timestamptz not null default now()
);

-- Wakes the workers that wait for the queue. One per statement, and it only reads: a producer that wrote the waiters'
-- rows would make the next producer wait for its commit. SECURITY DEFINER, because a producer may have nothing but
-- INSERT on its queue. A job that commits unseen by this look is found by the workers' next poll.
create function {schema}.pg_queue_wake() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (
        select from {schema}.pg_queue_waiters
        where queue = tg_argv[0] and until > now()
    ) then
        perform pg_notify('pg_queue.' || tg_table_schema, 'wake:' || tg_argv[0]);
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

-- A job's errors with one more. The last hundred are kept: a job that is tried for months must not grow without end.
create function {schema}.pg_queue_add_error(errors jsonb, attempt smallint, error text) returns jsonb
language sql stable
as $$
    select case
        when errors is null then '[]'::jsonb
        when jsonb_array_length(errors) >= 100 then errors - 0
        else errors
    end || jsonb_build_array(jsonb_build_object('at', now(), 'attempt', attempt, 'error', error))
$$;
