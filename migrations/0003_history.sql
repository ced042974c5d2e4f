-- Finished jobs that are kept, by day. Old days are dropped as a whole, never deleted row by row.
create table {schema}.pg_queue_history (
    id bigint not null,
    finished_at timestamptz not null default now(),
    run_at timestamptz not null,
    created_at timestamptz not null,
    priority smallint not null,
    attempt smallint not null,
    max_attempts smallint not null,
    state text not null constraint state_known check (state in ('completed', 'discarded', 'cancelled')),
    queue text not null,
    kind text not null,
    unique_key text,
    request_id uuid,
    errors jsonb,
    payload json not null,
    primary key (id, finished_at)
) partition by range (finished_at);

create index pg_queue_history_queue on {schema}.pg_queue_history (queue, state, finished_at);

-- A day without a partition must not fail the statement that finishes a job, so there is a default one.
create table {schema}.pg_queue_history_default partition of {schema}.pg_queue_history default;

-- Makes the partitions of today (UTC) and the next seven days and drops those that ended more than `keep` ago.
-- Safe to call at any time and by many at once; workers call it every hour. A day whose rows already went to the
-- default partition stays there, and is deleted from it when its time has come.
create function {schema}.pg_queue_maintain_history(keep interval default '7 days') returns void
language plpgsql set search_path = pg_catalog, pg_temp set timezone = 'UTC' set lock_timeout = '2s'
as $$
declare
    day date;
    new text;
    old text;
begin
    if not pg_try_advisory_xact_lock(hashtextextended('{schema}.pg_queue_maintain_history', 0)) then
        return;
    end if;
    for day in select current_date + n from generate_series(0, 7) as n loop
        if to_regclass(format('%I.%I', '{schema_name}', 'pg_queue_history_' || to_char(day, 'YYYYMMDD'))) is null
           and not exists (
               select from {schema}.pg_queue_history_default where finished_at >= day and finished_at < day + 1
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
    for old in
        select c.relname
        from pg_inherits as i
        join pg_class as c on c.oid = i.inhrelid
        where i.inhparent = '{schema}.pg_queue_history'::regclass
          and c.relname ~ '^pg_queue_history_[0-9]{8}$'
          and to_date(right(c.relname, 8), 'YYYYMMDD') + 1 < now() - keep
    loop
        execute format('drop table {schema}.%I', old);
    end loop;
    delete from {schema}.pg_queue_history_default where finished_at < now() - keep;
end
$$;

select {schema}.pg_queue_maintain_history();
