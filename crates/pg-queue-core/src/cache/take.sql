-- Removes a value and answers it.
-- parameters: $1 key, $2 what those who keep values in memory are told, $3 whether the transaction commits asynchronously
-- rows: (value), if there was one that had not expired    index: primary key    locks: the row
with gone as (
    delete from {cache} where key = $1 returning value, expires_at
)
select
    (select value from gone where expires_at is null or expires_at > now()),
    (select set_config('synchronous_commit', 'off', true) where $3),
    (select count(pg_notify('pg_queue.cache.{schema_name}', $2))
        from (select from {schema}.pg_queue_cache_tiers where until > now() limit 1) as heard)
from gone
