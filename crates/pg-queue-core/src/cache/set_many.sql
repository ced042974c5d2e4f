-- Sets values without tags; the last writer wins.
-- parameters: $1 keys, each once and in their order, so that two statements cannot wait for each other; $2 values, $3
--   microseconds to live, $4 when they expire in microseconds since 2000, $5 how many microseconds they slide, $6 versions, $7
--   what those who keep values in memory are told, $8 whether the transaction commits asynchronously    rows: one
-- index: primary key    locks: the rows
with written as (
    insert into {cache} (key, value, expires_at, slides, version)
    select new.key, new.value,
        coalesce(
            now() + new.lives * interval '1 microsecond', timestamptz '2000-01-01 00:00+00' + new.expires * interval '1 microsecond'
        ),
        new.slides, new.version
    from unnest($1::bytea[], $2::bytea[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])
        as new (key, value, lives, expires, slides, version)
    on conflict (key) do update set
        value = excluded.value, expires_at = excluded.expires_at, slides = excluded.slides, version = excluded.version,
        tags = null, kept_until = null, load_token = null, load_until = null, used_at = excluded.used_at
)
select
    (select set_config('synchronous_commit', 'off', true) where $8),
    (select count(pg_notify('pg_queue.cache.{schema_name}', $7))
        from (select from {schema}.pg_queue_cache_tiers where until > now() limit 1) as heard)
