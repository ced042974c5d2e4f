-- Sets a value; the last writer wins, and a load that is on its way for this key comes to nothing.
-- parameters: $1 key, $2 value, $3 microseconds to live or null, $4 when it expires in microseconds since 2000 or null, $5 how
--   many microseconds it slides or null, $6 version, $7 tags or null, $8 what those who keep values in memory are told, $9
--   whether the transaction commits asynchronously    rows: one
-- index: primary key    locks: the row
with written as (
    insert into {cache} (key, value, expires_at, slides, version, tags)
    values (
        $1, $2,
        coalesce(now() + $3 * interval '1 microsecond', timestamptz '2000-01-01 00:00+00' + $4 * interval '1 microsecond'),
        $5, $6, $7::text[]
    )
    on conflict (key) do update set
        value = excluded.value, expires_at = excluded.expires_at, slides = excluded.slides, version = excluded.version,
        tags = excluded.tags, kept_until = null, load_token = null, load_until = null, used_at = excluded.used_at
)
select
    (select set_config('synchronous_commit', 'off', true) where $9),
    (select count(pg_notify('pg_queue.cache.{schema_name}', $8))
        from (select from {schema}.pg_queue_cache_tiers where until > now() limit 1) as heard)
