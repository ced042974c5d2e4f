-- Sets a value that was loaded, if the claim is still there. It is not when the key was deleted or set meanwhile: what was loaded
-- may be older than that.
-- parameters: $1 key, $2 value, $3 microseconds to live or null, $4 when it expires in microseconds since 2000 or null, $5 how
--   many microseconds it slides or null, $6 version, $7 for how many microseconds after that it may be shown while another is
--   loaded, $8 token, $9 what those who keep values in memory are told, $10 whether the transaction commits asynchronously
-- rows: one, if it was set    index: primary key    locks: the row
with written as (
    update {cache} set
        value = $2,
        expires_at = coalesce(
            now() + $3 * interval '1 microsecond', timestamptz '2000-01-01 00:00+00' + $4 * interval '1 microsecond'
        ),
        kept_until = now() + ($3 + $7) * interval '1 microsecond',
        slides = $5, version = $6, load_token = null, load_until = null, used_at = now()
    where key = $1 and load_token = $8
    returning 1
)
select
    true,
    (select set_config('synchronous_commit', 'off', true) where $10),
    (select count(pg_notify('pg_queue.cache.{schema_name}', $9))
        from (select from {schema}.pg_queue_cache_tiers where until > now() limit 1) as heard)
from written
