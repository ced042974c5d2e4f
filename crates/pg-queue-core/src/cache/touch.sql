-- Gives a value that has not expired another time to live.
-- parameters: $1 key, $2 microseconds to live or null, $3 when it expires in microseconds since 2000 or null, $4 how many
--   microseconds it slides or null, $5 what those who keep values in memory are told, $6 whether the transaction commits
--   asynchronously    rows: one, if there was such a value
-- index: primary key    locks: the row
with written as (
    update {cache} set
        expires_at = coalesce(
            now() + $2 * interval '1 microsecond', timestamptz '2000-01-01 00:00+00' + $3 * interval '1 microsecond'
        ),
        slides = $4, kept_until = null, used_at = now()
    where key = $1 and value is not null and (expires_at is null or expires_at > now())
    returning 1
)
select
    true,
    (select set_config('synchronous_commit', 'off', true) where $6),
    (select count(pg_notify('pg_queue.cache.{schema_name}', $5))
        from (select from {schema}.pg_queue_cache_tiers where until > now() limit 1) as heard)
from written
