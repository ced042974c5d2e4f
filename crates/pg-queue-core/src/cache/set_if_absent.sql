-- Sets a value if there is none that has not expired.
-- parameters: as in set.sql: $1 $2 $3 $4 $5 $6 $7 $8 $9    rows: one, if it was set
-- index: primary key    locks: the row
with written as (
    insert into {cache} as old (key, value, expires_at, slides, version, tags)
    values (
        $1, $2,
        coalesce(now() + $3 * interval '1 microsecond', timestamptz '2000-01-01 00:00+00' + $4 * interval '1 microsecond'),
        $5, $6, $7::text[]
    )
    on conflict (key) do update set
        value = excluded.value, expires_at = excluded.expires_at, slides = excluded.slides, version = excluded.version,
        tags = excluded.tags, kept_until = null, load_token = null, load_until = null, used_at = excluded.used_at
    where old.value is null or old.expires_at <= now()
    returning 1
)
select
    true,
    (select set_config('synchronous_commit', 'off', true) where $9),
    (select count(pg_notify('pg_queue.cache.{schema_name}', $8))
        from (select from {schema}.pg_queue_cache_tiers where until > now() limit 1) as heard)
from written
