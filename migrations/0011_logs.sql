-- Logs: durable topics. A log keeps its messages for as long as it is told to, whoever has read them.
--
-- A message is known by the transaction that published it and a number: (xid, id). What a reader has not seen is told apart by
-- snapshots and not by numbers, because transactions commit in another order than they take numbers: see 0012_groups.sql.
--
-- A log is a table, `log_<name>`, of segments, which are its partitions. Publishers write into the newest; old ones are dropped
-- as a whole. Nothing is ever deleted row by row.

create table {schema}.pg_queue_logs (
    name text primary key,
    -- Into which segment publishers write. They read it in each statement, without a lock.
    segment integer not null default 1,
    created_at timestamptz not null default now(),
    -- How long messages are kept at least, and how many bytes at most; null is without an end.
    keep_ms bigint constraint keep_ms_range check (keep_ms > 0),
    keep_bytes bigint constraint keep_bytes_range check (keep_bytes > 0)
);

create table {schema}.pg_queue_segments (
    log text not null,
    segment integer not null,
    opened_at timestamptz not null default now(),
    -- When publishers went on to the next one.
    closed_at timestamptz,
    primary key (log, segment)
);

create sequence {schema}.pg_queue_log_ids;

-- The rule for names of logs, the same as for queues, and the same as in Rust.
create function {schema}.pg_queue_check_log_name(name text) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
    if name is null or octet_length(name) > 48 or name !~ '^[a-z][a-z0-9_]*$' or name ~ '\n' then
        raise exception 'invalid log name %: a log name has 1 to 48 bytes, begins with a letter a-z and goes on with a-z, 0-9 and _',
            coalesce(quote_literal(left(name, 80)), 'null')
            using errcode = 'invalid_parameter_value';
    end if;
end
$$;

-- Makes a segment. CREATE TABLE and ATTACH, because PARTITION OF would wait for everybody who publishes.
create function {schema}.pg_queue_open_segment(log text, number integer) returns void
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    parent constant text := format('%I.%I', '{schema_name}', 'log_' || log);
    leaf constant text := format('%I.%I', '{schema_name}', 'log_' || log || '_' || number);
begin
    -- Rows are never changed.
    execute format('create table %s (like %s including defaults including constraints) with (fillfactor = 100)', leaf, parent);
    execute format('alter table %s add primary key (xid, id, segment)', leaf);
    execute format('alter table %s attach partition %s for values in (%s)', parent, leaf, number);
    insert into {schema}.pg_queue_segments (log, segment) values (pg_queue_open_segment.log, number);
end
$$;

-- Makes the log `name`, or sets for how long an existing one keeps its messages.
create function {schema}.pg_queue_create_log(name text, keep interval default null, keep_bytes bigint default null)
returns void
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '5s'
as $$
declare
    parent text;
    kept constant bigint := ceil(extract(epoch from keep) * 1000);
begin
    perform {schema}.pg_queue_check_log_name(name);
    parent := format('%I.%I', '{schema_name}', 'log_' || name);
    if kept <= 0 or keep_bytes <= 0 then
        raise exception 'log "%" cannot keep messages for nothing: give a time and a number of bytes above zero, or null', name
            using errcode = 'invalid_parameter_value';
    end if;
    perform pg_advisory_xact_lock(hashtextextended('{schema}.pg_queue_logs', 0));
    if exists (select from {schema}.pg_queue_logs as l where l.name = pg_queue_create_log.name) then
        update {schema}.pg_queue_logs as l set keep_ms = kept, keep_bytes = pg_queue_create_log.keep_bytes
        where l.name = pg_queue_create_log.name;
        return;
    end if;
    if to_regclass(parent) is not null then
        raise exception 'table % exists and is not a log of pg-queue: rename that table or choose another log name', parent
            using errcode = 'duplicate_table', schema = '{schema_name}', table = 'log_' || name;
    end if;
    execute format(
        'create table %s (
            xid xid8 not null default pg_current_xact_id(),
            id bigint not null default nextval(%L::regclass),
            sent_at timestamptz not null default now(),
            segment integer not null,
            attributes json,
            body json not null
        ) partition by list (segment)', parent, '{schema}.pg_queue_log_ids'
    );
    execute format('alter table %s add primary key (xid, id, segment)', parent);
    -- Notifies the groups that wait for messages, as queues do their workers.
    execute format(
        'create trigger pg_queue_wake after insert on %s for each statement execute function {schema}.pg_queue_wake(%L)',
        parent, 'log:' || name
    );
    insert into {schema}.pg_queue_logs (name, keep_ms, keep_bytes) values (pg_queue_create_log.name, kept, pg_queue_create_log.keep_bytes);
    perform {schema}.pg_queue_open_segment(name, 1);
end
$$;

-- Publishes a message from SQL: triggers, psql, other languages. Answers its number.
create function {schema}.pg_queue_log_publish(log text, message json, attributes json default null) returns bigint
language plpgsql
as $$
declare
    number bigint;
begin
    perform {schema}.pg_queue_check_log_name(log);
    if not exists (select from {schema}.pg_queue_logs as l where l.name = log) then
        raise exception 'log "%" does not exist: make it with select pg_queue_create_log(%)', log, quote_literal(log)
            using errcode = 'undefined_table';
    end if;
    if message is null then
        raise exception 'the message is null: pass the JSON value ''null'' if that is meant'
            using errcode = 'null_value_not_allowed';
    end if;
    if octet_length(message::text) > 16777216 then
        raise exception 'the message has % bytes: at most 16 MiB are allowed', octet_length(message::text)
            using errcode = 'program_limit_exceeded';
    end if;
    if json_typeof(attributes) <> 'object' then
        raise exception 'invalid attributes: they are an object of names and texts' using errcode = 'invalid_parameter_value';
    end if;
    execute format(
        'insert into %I.%I (segment, attributes, body)
         select l.segment, $2, $3 from {schema}.pg_queue_logs as l where l.name = $1 returning id',
        '{schema_name}', 'log_' || log
    ) into number using log, attributes, message;
    return number;
end
$$;
