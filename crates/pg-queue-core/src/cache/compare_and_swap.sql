-- Sets a value in place of a version of it that has not expired.
-- parameters: as in set.sql: $1 $2 $3 $4 $5 $6 $7 $8 $9; $10 the version that is to be there    rows: one, if it was set
-- index: primary key    locks: the row
with written as (
    update {cache} set
        value = $2,
        expires_at = coalesce(
            now() + $3 * interval '1 microsecond', timestamptz '2000-01-01 00:00+00' + $4 * interval '1 microsecond'
        ),
        slides = $5, version = $6, tags = $7::text[], kept_until = null, load_token = null, load_until = null, used_at = now()
    where key = $1 and version = $10 and value is not null and (expires_at is null or expires_at > now())
    returning 1
)
select
    true,
    (select set_config('synchronous_commit', 'off', true) where $9),
    (select count(pg_notify('pg_queue.cache.{schema_name}', $8))
        from (select from {schema}.pg_queue_cache_tiers where until > now() limit 1) as heard)
from written
