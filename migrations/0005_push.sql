-- Enqueuing from SQL: triggers, psql, other languages.

-- Enqueues a job and answers (id, outcome): 'enqueued' with the new job's id, or 'duplicate' with the id of the
-- unfinished job that has the same unique key. Priority 0 runs before 9. A job that has failed max_attempts times is
-- discarded. `timeout` bounds each attempt in place of what its kind says; `metadata` is an object. Waits for a
-- transaction that holds the same unique key open, and for nothing else.
create function {schema}.pg_queue_push(
    queue text,
    kind text,
    payload json,
    run_at timestamptz default null,
    priority integer default 5,
    max_attempts integer default 20,
    unique_key text default null,
    timeout interval default null,
    tags text[] default null,
    metadata json default null,
    out id bigint,
    out outcome text
)
language plpgsql
as $$
declare
    leaf text;
begin
    perform {schema}.pg_queue_check_name(queue);
    leaf := format('%I.%I', '{schema_name}', 'queue_' || queue);
    if not exists (select from {schema}.pg_queue_queues as q where q.name = queue) then
        raise exception 'queue "%" does not exist: make it with select pg_queue_create_queue(%)', queue, quote_literal(queue)
            using errcode = 'undefined_table';
    end if;
    if kind is null or octet_length(kind) not between 1 and 100 then
        raise exception 'invalid kind: a kind has 1 to 100 bytes' using errcode = 'invalid_parameter_value';
    end if;
    if payload is null then
        raise exception 'the payload is null: pass the JSON value ''null'' if that is meant'
            using errcode = 'null_value_not_allowed';
    end if;
    if octet_length(payload::text) > 67108864 then
        raise exception 'the payload has % bytes: at most 64 MiB are allowed', octet_length(payload::text)
            using errcode = 'program_limit_exceeded';
    end if;
    if priority is null or priority not between 0 and 9 then
        raise exception 'priority % is out of range: priorities are 0 (first) to 9 (last)', coalesce(priority::text, 'null')
            using errcode = 'invalid_parameter_value';
    end if;
    if max_attempts is null or max_attempts not between 1 and 32767 then
        raise exception 'max_attempts % is out of range: 1 to 32767', coalesce(max_attempts::text, 'null')
            using errcode = 'invalid_parameter_value';
    end if;
    if timeout <= interval '0' then
        raise exception 'timeout % is out of range: it is more than nothing', timeout
            using errcode = 'invalid_parameter_value';
    end if;
    if array_ndims(tags) > 1 or array_lower(tags, 1) <> 1 or cardinality(tags) > 32 or exists (
        select from unnest(tags) as tag where tag is null or octet_length(tag) not between 1 and 100
    ) then
        raise exception 'invalid tags: at most 32 are allowed, of 1 to 100 bytes each'
            using errcode = 'invalid_parameter_value';
    end if;
    if json_typeof(metadata) <> 'object' or octet_length(metadata::text) > 65536 then
        raise exception 'invalid metadata: it is an object of at most 64 KiB' using errcode = 'invalid_parameter_value';
    end if;
    if octet_length(unique_key) > 512 then
        raise exception 'the unique key has % bytes: at most 512 are allowed', octet_length(unique_key)
            using errcode = 'invalid_parameter_value';
    end if;
    -- The job with the same key may finish between the insert that met it and the look for its id: then insert again.
    for try in 1..100 loop
        execute format(
            'insert into %s (kind, payload, run_at, priority, max_attempts, unique_key, timeout_ms, tags, metadata)
             values ($1, $2, coalesce($3, {now}), $4, $5, $6, ceil(extract(epoch from $7) * 1000), nullif($8, ''{}''), $9)
             on conflict (unique_key) where unique_key is not null do nothing
             returning id', leaf
        ) into id using kind, payload, run_at, priority::smallint, max_attempts::smallint, unique_key, timeout, tags,
            metadata;
        if id is not null then
            outcome := 'enqueued';
            return;
        end if;
        execute format('select id from %s where unique_key = $1', leaf) into id using unique_key;
        if id is not null then
            outcome := 'duplicate';
            return;
        end if;
    end loop;
    raise exception 'the unique key is contended: it was taken and freed 100 times while this call looked'
        using errcode = 'serialization_failure';
end
$$;
