-- Bindings: what is sent to a topic becomes a job in every queue that is bound to it.
--
-- A pattern is a topic in which `*` stands for one word and `>` at the end for all that follow. What publishers compare
-- topics with is made of it once: its first word, unless that is a wildcard; what comes before the first wildcard; and a
-- regular expression, which is looked at only where those fit. A server process keeps no more than 32 of these in their
-- compiled form.
create table {schema}.pg_queue_bindings (
    pattern text not null constraint pattern_valid check (
        octet_length(pattern) <= 255 and pattern ~ '^(([A-Za-z0-9_-]+|\*)(\.([A-Za-z0-9_-]+|\*))*(\.>)?|>)$'
    ),
    -- Dropping a queue takes its bindings along.
    queue text not null references {schema}.pg_queue_queues (name) on delete cascade,
    -- The rest but the filter is what its jobs get.
    kind {schema}.pg_queue_kind not null,
    created_at timestamptz not null default {now},
    max_attempts {schema}.pg_queue_max_attempts not null default 20,
    priority {schema}.pg_queue_priority not null default 5,
    -- Which attributes a message must have: an object of names, each with an array of the values that are let through.
    filter jsonb constraint filter_object check (jsonb_typeof(filter) = 'object'),
    word text generated always as (case when pattern !~ '^[*>]' then split_part(pattern, '.', 1) end) stored,
    prefix text not null generated always as (substring(pattern from '^[^*>]*')) stored,
    matching text not null generated always as (
        '^' || replace(replace(replace(pattern, '.', '\.'), '*', '[^.]+'), '>', '.+') || '$'
    ) stored,
    primary key (pattern, queue, kind)
);

-- Binds a queue to the topics of `pattern`: from its commit on, each message to one of them becomes a job of the kind `kind`
-- there, with the message as its payload. One that fits several patterns of a queue becomes one job of each kind. The same
-- binding once more gets the new filter, priority and number of attempts.
--
-- `filter` lets only messages through that have the right attributes, such as {"country": ["at", "de"], "vip": "yes"}: each
-- name must be among them, with one of the values.
create function {schema}.pg_queue_bind(
    pattern text,
    queue text,
    kind text default 'raw',
    filter jsonb default null,
    priority integer default 5,
    max_attempts integer default 20
) returns void
language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
    if (octet_length(pattern) <= 255 and pattern ~ '^(([A-Za-z0-9_-]+|\*)(\.([A-Za-z0-9_-]+|\*))*(\.>)?|>)$') is not true then
        raise exception 'invalid topic pattern %: it has words of a-z, A-Z, 0-9, _ and - with dots between them, * for any word, > at the end for all that follow, and at most 255 bytes',
            coalesce(quote_literal(left(pattern, 80)), 'null')
            using errcode = 'invalid_parameter_value';
    end if;
    perform {schema}.pg_queue_check_name(queue);
    if not exists (select from {schema}.pg_queue_queues as q where q.name = pg_queue_bind.queue) then
        raise exception 'queue "%" does not exist: make it with select pg_queue_create_queue(%)', queue, quote_literal(queue)
            using errcode = 'undefined_table', schema = '{schema_name}', table = 'queue_' || queue;
    end if;
    if kind is null or octet_length(kind) not between 1 and 100 then
        raise exception 'invalid kind: a kind has 1 to 100 bytes' using errcode = 'invalid_parameter_value';
    end if;
    if priority is null or priority not between 0 and 9 then
        raise exception 'priority % is out of range: priorities are 0 (first) to 9 (last)', coalesce(priority::text, 'null')
            using errcode = 'invalid_parameter_value';
    end if;
    if max_attempts is null or max_attempts not between 1 and 32767 then
        raise exception 'max_attempts % is out of range: 1 to 32767', coalesce(max_attempts::text, 'null')
            using errcode = 'invalid_parameter_value';
    end if;
    if jsonb_typeof(filter) <> 'object' or exists (
        select from jsonb_each(case jsonb_typeof(filter) when 'object' then filter end) as wanted
        where case jsonb_typeof(wanted.value)
            when 'string' then false
            when 'array' then jsonb_array_length(wanted.value) = 0 or exists (
                select from jsonb_array_elements(wanted.value) as allowed (value) where jsonb_typeof(allowed.value) <> 'string'
            )
            else true
        end
    ) then
        raise exception 'invalid filter: it is an object of attribute names, each with a string or with an array of at least one string'
            using errcode = 'invalid_parameter_value';
    end if;
    -- An empty filter is none, and a single value is a list of one.
    filter := (
        select jsonb_object_agg(
            wanted.key, case jsonb_typeof(wanted.value) when 'array' then wanted.value else jsonb_build_array(wanted.value) end
        )
        from jsonb_each(filter) as wanted
    );
    insert into {schema}.pg_queue_bindings (pattern, queue, kind, filter, priority, max_attempts)
    values (pattern, queue, kind, filter, priority::smallint, max_attempts::smallint)
    on conflict on constraint pg_queue_bindings_pkey do update
    set filter = excluded.filter, priority = excluded.priority, max_attempts = excluded.max_attempts;
end
$$;

-- Ends a binding and returns true; false when there is none. The jobs that it has made stay.
create function {schema}.pg_queue_unbind(pattern text, queue text, kind text default 'raw') returns boolean
language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
    delete from {schema}.pg_queue_bindings as binding
    where binding.pattern = pg_queue_unbind.pattern
      and binding.queue = pg_queue_unbind.queue
      and binding.kind = pg_queue_unbind.kind;
    return found;
end
$$;

-- Which of these topics queues are bound to, with or without a filter. Each expression is compared with all topics before the
-- next one, so that it is compiled once.
create function {schema}.pg_queue_bound_topics(topics text[]) returns text[]
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    words constant text[] := array(select distinct split_part(topic, '.', 1) from unnest(topics) as topic);
begin
    return array(
        select distinct bound.topic
        from {schema}.pg_queue_bindings as binding
        cross join lateral (
            select topic from unnest(topics) as topic
            where starts_with(topic, binding.prefix) and topic ~ binding.matching
            offset 0
        ) as bound
        where binding.word is null or binding.word = any (words)
    );
end
$$;

-- Makes the jobs of messages in the queues that are bound to their topics: in each queue in the order of the messages, and
-- answers those queues. `metadata` is what the jobs carry beside their payload, as JSON: an object with the topic under
-- "topic" and, if there are any, the attributes under "attributes". All or nothing.
--
-- One statement a queue, into the queue itself and not through the parent, so that a publisher takes its locks as every other
-- producer does.
create function {schema}.pg_queue_enqueue_bound(topics text[], bodies text[], metadata text[])
returns table (queue text, jobs bigint)
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    target record;
    leaf text;
begin
    for target in
        select
            job.queue,
            array_agg(job.kind order by job.position, job.kind) as kinds,
            array_agg(job.body order by job.position, job.kind) as bodies,
            array_agg(job.priority order by job.position, job.kind) as priorities,
            array_agg(job.max_attempts order by job.position, job.kind) as max_attempts,
            array_agg(job.metadata order by job.position, job.kind) as metadata,
            min(job.pattern) as pattern
        from (
            select distinct on (message.position, binding.queue, binding.kind)
                message.position, message.body, message.metadata,
                binding.queue, binding.kind, binding.priority, binding.max_attempts, binding.pattern
            from (
                select *, split_part(given.topic, '.', 1) as word
                from unnest(topics, bodies, metadata) with ordinality as given (topic, body, metadata, position)
                offset 0
            ) as message
            join {schema}.pg_queue_bindings as binding
                on coalesce(binding.word, message.word) = message.word
                and starts_with(message.topic, binding.prefix) and message.topic ~ binding.matching
            where not exists (
                select from jsonb_each(binding.filter) as wanted
                where (wanted.value ? (message.metadata::json -> 'attributes' ->> wanted.key)) is not true
            )
            order by message.position, binding.queue, binding.kind, binding.priority, binding.pattern
        ) as job
        group by job.queue
        order by job.queue
    loop
        leaf := format('%I.%I', '{schema_name}', 'queue_' || target.queue);
        -- Its table was dropped by hand, or the queue was dropped a moment ago.
        if to_regclass(leaf) is null then
            raise exception 'queue "%" does not exist, to which % is bound: make it with select pg_queue_create_queue(%), or end the binding with pg_queue_unbind',
                target.queue, quote_literal(target.pattern), quote_literal(target.queue)
                using errcode = 'undefined_table', schema = '{schema_name}', table = 'queue_' || target.queue;
        end if;
        execute format(
            'insert into %s (kind, payload, priority, max_attempts, metadata)
             select new.kind, new.body::json, new.priority, new.max_attempts, new.metadata::json
             from unnest($1, $2, $3, $4, $5) with ordinality as new (kind, body, priority, max_attempts, metadata, position)
             order by new.position', leaf
        ) using target.kinds, target.bodies, target.priorities, target.max_attempts, target.metadata;
        queue := target.queue;
        jobs := cardinality(target.kinds);
        return next;
    end loop;
end
$$;

-- The channel on which messages to a topic are sent: one of 16, by the FNV-1a of its first word. A name that is too long for a
-- channel goes by its hash.
create function {schema}.pg_queue_topic_channel(topic text) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
    word constant bytea := convert_to(split_part(topic, '.', 1), 'UTF8');
    hash bigint := 2166136261;
    channel text;
begin
    for at in 0..length(word) - 1 loop
        hash := (hash # get_byte(word, at)) * 16777619 % 4294967296;
    end loop;
    channel := 'pg_queue.topics.{schema_name}.' || hash % 16;
    if octet_length(channel) > 63 then
        channel := 'pg_queue.hash.' || encode(substring(sha256(convert_to(channel, 'UTF8')) from 1 for 24), 'hex');
    end if;
    return channel;
end
$$;

-- Sends a message to the subscribers of `topic`, and into the queues that are bound to it: at the commit, both or neither.
-- `attributes` is an object of strings, at most 4 KiB, for filters and subscribers. Returns how many jobs were made.
--
-- Each call is a notification of its own, and the server commits transactions that notify one at a time.
create function {schema}.pg_queue_publish(topic text, message json, attributes json default null) returns bigint
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    body constant text := message::text;
    extras text := attributes::text;
    bytes constant bigint := octet_length(convert_to(body, 'UTF8'));
    -- Drawn anew for each notification: of two equal ones in a transaction the server delivers only one.
    nonce constant text := left(replace(gen_random_uuid()::text, '-', ''), 16);
    number text := bytes;
    stored bigint;
    made bigint;
begin
    if (octet_length(topic) <= 255 and topic ~ '^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$') is not true then
        raise exception 'invalid topic %: it has words of a-z, A-Z, 0-9, _ and - with dots between them, and at most 255 bytes',
            coalesce(quote_literal(left(topic, 80)), 'null')
            using errcode = 'invalid_parameter_value';
    end if;
    if body is null then
        raise exception 'the message is null: pass the JSON value ''null'' if that is meant'
            using errcode = 'null_value_not_allowed';
    end if;
    if bytes > 16777216 then
        raise exception 'the message has % bytes: at most 16 MiB are allowed', bytes using errcode = 'program_limit_exceeded';
    end if;
    if octet_length(convert_to(extras, 'UTF8')) > 4096 or json_typeof(attributes) <> 'object' or exists (
        select from json_each(case json_typeof(attributes) when 'object' then attributes end) as given
        where json_typeof(given.value) <> 'string'
    ) then
        raise exception 'invalid attributes: they are an object of strings, of at most 4 KiB'
            using errcode = 'invalid_parameter_value';
    end if;
    if extras is not null and not exists (select from json_each(attributes)) then
        extras := null;
    end if;
    if bytes + coalesce(octet_length(convert_to(extras, 'UTF8')), 0) > 7500 then
        stored := hashtextextended(gen_random_uuid()::text, 0);
        insert into {schema}.pg_queue_messages (id, body) values (stored, message);
        number := '@' || stored;
    end if;
    perform pg_notify(
        {schema}.pg_queue_topic_channel(topic),
        '1 ' || nonce || e'\n' || topic || ' ' || number
            || coalesce(',' || octet_length(convert_to(extras, 'UTF8')), '') || ':'
            || case when stored is null then body else '' end || coalesce(extras, '')
    );
    select coalesce(sum(enqueued.jobs), 0) into made
    from {schema}.pg_queue_enqueue_bound(
        array[topic], array[body],
        array[json_strip_nulls(json_build_object('topic', topic, 'attributes', extras::json))::text]
    ) as enqueued;
    return made;
end
$$;
