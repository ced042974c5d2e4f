-- Adds to counters, and makes those that are not there.
-- parameters: $1 keys, each once and in their order; $2 what is added, $3 microseconds to live of a new one or null, $4 how
--   many microseconds a new one slides or null, $5 versions of new ones, $6 what those who keep values in memory are told, $7
--   whether the transaction commits asynchronously
-- rows: (key, sum) of each; a value that is no number, or to which nothing can be added, is left as it is, and has none
-- index: primary key    locks: the rows
with written as (
    insert into {cache} as old (key, value, expires_at, slides, version)
    select new.key, convert_to(new.addend::text, 'UTF8'), now() + new.lives * interval '1 microsecond', new.slides, new.version
    from unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[]) as new (key, addend, lives, slides, version)
    on conflict (key) do update set
        value = case when old.value is null or old.expires_at <= now() then excluded.value
            else {schema}.pg_queue_cache_sum(old.value, convert_from(excluded.value, 'UTF8')::bigint) end,
        expires_at = case when old.value is null or old.expires_at <= now() then excluded.expires_at
            when old.slides is not null then now() + old.slides * interval '1 microsecond' else old.expires_at end,
        slides = case when old.value is null or old.expires_at <= now() then excluded.slides else old.slides end,
        version = case when old.value is null or old.expires_at <= now() then excluded.version else old.version + 1 end,
        kept_until = null, load_token = null, load_until = null, used_at = excluded.used_at
    where old.value is null or old.expires_at <= now()
        or {schema}.pg_queue_cache_sum(old.value, convert_from(excluded.value, 'UTF8')::bigint) is not null
    returning key, value
)
select
    key, convert_from(value, 'UTF8')::bigint,
    (select set_config('synchronous_commit', 'off', true) where $7),
    (select count(pg_notify('pg_queue.cache.{schema_name}', $6))
        from (select from {schema}.pg_queue_cache_tiers where until > now() limit 1) as heard)
from written
