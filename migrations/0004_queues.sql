-- Making and dropping queues.

-- The rule for queue names, the same as in Rust. 48 bytes leave room for every name made from it within 63.
create function {schema}.pg_queue_check_name(name text) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
    if name is null or octet_length(name) > 48 or name !~ '^[a-z][a-z0-9_]*$' or name ~ '\n' then
        raise exception 'invalid queue name %: a queue name has 1 to 48 bytes, begins with a letter a-z and goes on with a-z, 0-9 and _',
            coalesce(quote_literal(left(name, 80)), 'null')
            using errcode = 'invalid_parameter_value';
    end if;
end
$$;

-- Makes the queue `name`: its table, its indexes and its trigger. Does nothing when it exists.
--
-- CREATE TABLE and ATTACH instead of PARTITION OF: that one locks the parent so hard that one open producer stalls
-- every other queue. LIKE does not copy storage settings, the partition key's default, indexes or triggers.
create function {schema}.pg_queue_create_queue(name text) returns void
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '5s'
as $$
declare
    leaf text;
begin
    perform {schema}.pg_queue_check_name(name);
    leaf := format('%I.%I', '{schema_name}', 'queue_' || name);
    -- Two that make the same queue at once wait here; the second finds it made.
    perform pg_advisory_xact_lock(hashtextextended('{schema}.pg_queue_queues', 0));
    -- Asks the catalog, not pg_queue_queues: a REPEATABLE READ caller that waited above has too old a snapshot for it.
    if pg_partition_root(to_regclass(leaf)) = '{schema}.pg_queue_jobs'::regclass then
        return;
    end if;
    if to_regclass(leaf) is not null then
        raise exception 'table % exists and is not a queue of pg-queue: rename that table or choose another queue name', leaf
            using errcode = 'duplicate_table', schema = '{schema_name}', table = 'queue_' || name;
    end if;
    -- An emptied queue would be truncated under an exclusive lock again and again: vacuum_truncate is off. A queue is
    -- short and turns over all the time: vacuum by number of dead rows, not by a share of the table.
    execute format(
        'create table %s (like {schema}.pg_queue_jobs including defaults including constraints)
         with (fillfactor = 45, vacuum_truncate = off,
               autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
               autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 100000,
               autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 20000)',
        leaf
    );
    execute format('alter table %s alter column queue set default %L', leaf, name);
    execute format('alter table %s add constraint %I primary key (id)', leaf, 'pg_queue_pkey_' || name);
    -- What a claim walks. Its columns and its predicate never change in a claim, which keeps the claim HOT.
    execute format(
        'create index %I on %s (priority, run_at, id) where parked is null',
        'pg_queue_due_' || name, leaf
    );
    -- What is looked at when a worker comes that knows more kinds than those before it.
    execute format(
        'create index %I on %s (kind) where parked is not null',
        'pg_queue_park_' || name, leaf
    );
    execute format(
        'create unique index %I on %s (unique_key) where unique_key is not null',
        'pg_queue_uniq_' || name, leaf
    );
    execute format(
        'create trigger pg_queue_wake after insert on %s for each statement execute function {schema}.pg_queue_wake(%L)',
        leaf, name
    );
    execute format('alter table {schema}.pg_queue_jobs attach partition %s for values in (%L)', leaf, name);
    -- The name is there already if the table was dropped by hand.
    insert into {schema}.pg_queue_queues (name) values (pg_queue_create_queue.name) on conflict do nothing;
end
$$;

-- Drops the queue `name` and returns true; false when there is none. Refuses a queue that still has jobs unless
-- `force` is set, which throws the jobs away.
create function {schema}.pg_queue_drop_queue(name text, force boolean default false) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '5s'
as $$
declare
    leaf text;
    unfinished bigint;
    give_up constant timestamptz := clock_timestamp() + interval '5 seconds';
begin
    perform {schema}.pg_queue_check_name(name);
    leaf := format('%I.%I', '{schema_name}', 'queue_' || name);
    perform pg_advisory_xact_lock(hashtextextended('{schema}.pg_queue_queues', 0));
    if pg_partition_root(to_regclass(leaf)) is distinct from '{schema}.pg_queue_jobs'::regclass then
        -- A table that was dropped by hand leaves its name behind.
        delete from {schema}.pg_queue_queues as q where q.name = pg_queue_drop_queue.name;
        return false;
    end if;
    -- The queue before the parent, as its producers take them.
    execute format('lock table %s in access exclusive mode', leaf);
    if not coalesce(force, false) then
        execute format('select count(*) from %s', leaf) into unfinished;
        if unfinished > 0 then
            raise exception 'queue "%" still has % unfinished jobs: pg_queue_drop_queue(%, true) drops it with them',
                name, unfinished, quote_literal(name)
                using errcode = 'object_not_in_prerequisite_state',
                    schema = '{schema_name}', table = 'queue_' || name;
        end if;
    end if;
    -- Whoever waits for this lock holds up the producers of all queues that come after it. So it is asked for again and
    -- again, a moment at a time, and they get through in between.
    loop
        begin
            perform set_config('lock_timeout', '100ms', true);
            lock table {schema}.pg_queue_jobs in access exclusive mode;
            exit;
        exception when lock_not_available then
            if clock_timestamp() > give_up then
                raise;
            end if;
            perform pg_sleep(0.1);
        end;
    end loop;
    execute format('drop table %s', leaf);
    delete from {schema}.pg_queue_queues as q where q.name = pg_queue_drop_queue.name;
    delete from {schema}.pg_queue_waiters as w where w.queue = pg_queue_drop_queue.name;
    delete from {schema}.pg_queue_unique_keys as k where k.queue = pg_queue_drop_queue.name;
    return true;
end
$$;
