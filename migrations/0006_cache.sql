-- The cache: values with a time to live. Unlogged: fast to write, and emptied by a crash of the server, as a cache may be.
--
-- No index on a time: it would turn every renewed value into a non-HOT update. Expired rows are invisible to reads and are
-- removed by walking the table in bounded steps.
create unlogged table {schema}.pg_queue_cache (
    -- Null: never.
    expires_at timestamptz,
    -- Until when a value that has expired may still be shown to those who would otherwise wait for a new one. Null: not at all.
    kept_until timestamptz,
    -- When it was last set, or looked up by somebody who notes that: what is evicted first.
    used_at timestamptz not null default now(),
    -- Drawn at random by whoever sets the value, so that no version comes back when a key does.
    version bigint not null,
    -- How many microseconds a value lives from its last use on. Null: it expires at its time, used or not.
    slides bigint,
    -- Who loads the value at the moment, and until when nobody else does.
    load_token bigint,
    load_until timestamptz,
    -- One byte with the length of the namespace, the namespace, and the key. Bytes, because they have one order everywhere: a
    -- prefix is a range. Of a key above 512 bytes the first 512 and its SHA-256.
    key bytea primary key,
    -- Null: there is none yet, but somebody loads it.
    value bytea,
    tags text[]
)
-- Analysed by its changes alone: a plan that was made while the table was empty, as after a crash, goes with the next analysis.
with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 1000,
    autovacuum_analyze_scale_factor = 0.02, autovacuum_analyze_threshold = 1000, vacuum_truncate = off);

create index pg_queue_cache_tags on {schema}.pg_queue_cache using gin (tags) where tags is not null;

-- The same for values that are to outlive a crash of the server and a failover. It is written asynchronously: what was set in
-- the last moments before a crash is lost.
create table {schema}.pg_queue_cache_durable (
    expires_at timestamptz,
    kept_until timestamptz,
    used_at timestamptz not null default now(),
    version bigint not null,
    slides bigint,
    load_token bigint,
    load_until timestamptz,
    key bytea primary key,
    value bytea,
    tags text[]
)
with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 1000,
    autovacuum_analyze_scale_factor = 0.02, autovacuum_analyze_threshold = 1000, vacuum_truncate = off);

create index pg_queue_cache_durable_tags on {schema}.pg_queue_cache_durable using gin (tags) where tags is not null;

-- What is compressed is so by a method that is as quick as the network, where the server has it.
do $$
begin
    alter table {schema}.pg_queue_cache alter column value set compression lz4;
    alter table {schema}.pg_queue_cache_durable alter column value set compression lz4;
exception when feature_not_supported then
    -- It was built without.
    null;
end
$$;

-- Processes that keep values in their own memory, each until a time: only while there are some does a change of a value notify.
create unlogged table {schema}.pg_queue_cache_tiers (
    id bigint primary key,
    until timestamptz not null
)
with (fillfactor = 50, vacuum_truncate = off);

-- A counter with something added to it; null when the value is no whole number, or when 64 bits cannot hold the sum.
create function {schema}.pg_queue_cache_sum(value bytea, addend bigint) returns bytea
language sql immutable parallel safe
as $$
    select case when length(value) <= 20 and encode(value, 'escape') ~ '^-?[0-9]{1,19}$' then
        case when encode(value, 'escape')::numeric + addend between -9223372036854775808 and 9223372036854775807
            then convert_to((encode(value, 'escape')::numeric + addend)::text, 'UTF8')
        end
    end
$$;

-- Locks, with a log, because the number that a holder gets must never go back.
create table {schema}.pg_queue_locks (
    name bytea primary key,
    fence bigint not null,
    -- Drawn at random each time. Null: nobody holds it.
    holder bigint,
    until timestamptz not null
)
with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.1, autovacuum_vacuum_threshold = 1000, vacuum_truncate = off);

-- One for all locks, so that a lock which was forgotten does not begin anew.
create sequence {schema}.pg_queue_fences;

-- Buckets of tokens. Unlogged: a bucket that is not there is full.
create unlogged table {schema}.pg_queue_limits (
    -- When it is full again, if nothing is taken.
    full_at timestamptz not null,
    -- How many tokens were given last; how many it holds; after how many microseconds another one comes.
    given bigint not null,
    most bigint not null,
    step double precision not null,
    key bytea primary key
)
with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 1000, vacuum_truncate = off);

-- How many tokens a bucket has for somebody who asks for so many.
create function {schema}.pg_queue_tokens(full_at timestamptz, most bigint, step double precision, asked bigint) returns bigint
language sql stable parallel safe
as $$
    select least(
        asked,
        greatest(
            0,
            -- A millionth more than there are, as rounding goes.
            floor(most - extract(epoch from greatest(full_at - now(), interval '0'))::double precision * 1000000 / step + 1e-6)
        )::bigint
    )
$$;
