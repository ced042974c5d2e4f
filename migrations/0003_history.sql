-- Finished jobs that are kept: discarded and cancelled ones for a week unless their queue says otherwise, completed ones
-- for as long as their kind or queue asks. By the day until which they are kept, so that a day that is over is dropped as
-- a whole, never deleted row by row, whatever its jobs ended as.
create table {schema}.pg_queue_history (
    id bigint not null,
    keep_until timestamptz not null,
    finished_at timestamptz not null default {now},
    run_at timestamptz not null,
    created_at timestamptz not null,
    -- When its last attempt began, and whose that was: null for a job that was cancelled while it waited.
    started_at timestamptz,
    worker bigint,
    attempt smallint not null,
    max_attempts smallint not null,
    priority smallint not null,
    unique_while_waiting boolean,
    timeout_ms bigint,
    request_id uuid,
    state text not null constraint state_known check (state in ('completed', 'discarded', 'cancelled')),
    queue text not null,
    kind text not null,
    unique_key text,
    tags text[],
    -- Of every attempt that failed: {at, attempt, error, worker, duration_ms}.
    errors jsonb,
    metadata json,
    -- What the handler left as its result.
    output json,
    payload json not null,
    primary key (id, keep_until)
) partition by range (keep_until);

create index pg_queue_history_queue on {schema}.pg_queue_history (queue, state, finished_at, id);

-- A day without a partition must not fail the statement that finishes a job, so there is a default one.
create table {schema}.pg_queue_history_default partition of {schema}.pg_queue_history default;

-- Until when a job of this queue is kept that is discarded or cancelled now.
create function {schema}.pg_queue_keep_discarded(queue text) returns timestamptz
language sql stable
as $$
    select {now} + coalesce(
        (select q.keep_discarded from {schema}.pg_queue_queues as q where q.name = $1), interval '7 days'
    )
$$;

-- Makes the partitions for what will be kept until today (UTC) and up to `ahead` from now, and drops those whose time is
-- over. Safe to call at any time and by many at once; workers call it every hour. What is kept for longer than `ahead`, or
-- came while its day had no partition, is in the default one and is deleted from there.
create function {schema}.pg_queue_maintain_history(ahead interval default '8 days') returns void
language plpgsql set search_path = pg_catalog, pg_temp set timezone = 'UTC' set lock_timeout = '2s'
as $$
declare
    today constant date := {now}::date;
    -- A partition more for each day costs every look into the history some microseconds.
    last constant date := least({now} + ahead, {now} + interval '400 days')::date;
    day date;
    new text;
    old text;
begin
    if not pg_try_advisory_xact_lock(hashtextextended('{schema}.pg_queue_maintain_history', 0)) then
        return;
    end if;
    -- Before any is made: that locks the default partition, and whoever reads the history locks it after its parent, which
    -- dropping a day needs.
    for old in
        select c.relname
        from pg_inherits as i
        join pg_class as c on c.oid = i.inhrelid
        where i.inhparent = '{schema}.pg_queue_history'::regclass
          and c.relname ~ '^pg_queue_history_[0-9]{8}$'
          and to_date(right(c.relname, 8), 'YYYYMMDD') < today
    loop
        execute format('drop table {schema}.%I', old);
    end loop;
    for day in select today + n from generate_series(0, last - today) as n loop
        if to_regclass(format('%I.%I', '{schema_name}', 'pg_queue_history_' || to_char(day, 'YYYYMMDD'))) is null
           and not exists (
               select from {schema}.pg_queue_history_default where keep_until >= day and keep_until < day + 1
           )
        then
            -- Not PARTITION OF, which would wait for whoever reads or writes the history, and hold up all jobs that finish.
            new := format('{schema}.%I', 'pg_queue_history_' || to_char(day, 'YYYYMMDD'));
            execute format('create table %s (like {schema}.pg_queue_history including defaults including constraints)', new);
            execute format(
                'alter table {schema}.pg_queue_history attach partition %s for values from (%L) to (%L)',
                new, day, day + 1
            );
        end if;
    end loop;
    delete from {schema}.pg_queue_history_default where keep_until < {now};
end
$$;

select {schema}.pg_queue_maintain_history();
